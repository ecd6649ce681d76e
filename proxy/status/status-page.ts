/** The state of a cluster as a page for a browser: one HTML text without scripts or anything from elsewhere. Pure. */
import { createHash } from 'node:crypto'
import type {
  ClusterStatus,
  DeviceView,
  NodeStatus,
  RegionStatus,
  RingStatus,
  ZoneStatus,
} from './cluster-status.ts'
import { type Finding, fullnessOf, ringName } from './findings.ts'
import { bytesText, countText } from './quantity-text.ts'
import { conditionTexts, usedText, workText } from './status-text.ts'

const REFRESH_SECONDS = 5

const STYLE = `
:root { color-scheme: light dark; --page: #f6f7f9; --box: #fff; --line: #d5d9e0; --text: #1b1f27; --soft: #5b6472;
  --good: #1a7f4b; --warn: #a15c00; --bad: #c2272d; --fill: #4a7dcb; --track: #e3e7ee; }
@media (prefers-color-scheme: dark) { :root { --page: #14171c; --box: #1d2128; --line: #343a45; --text: #e6e9ef;
  --soft: #9aa4b2; --good: #4cc38a; --warn: #f0a742; --bad: #ff6b70; --fill: #6f9fe8; --track: #2d333d; } }
* { box-sizing: border-box }
body { margin: 0; padding: 1.2rem clamp(.8rem, 3vw, 2.4rem); background: var(--page); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 1.35rem; margin: 0 } h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem }
h3 { font-size: .95rem; margin: 0 0 .4rem } h4 { font-size: .85rem; margin: 0; color: var(--soft); font-weight: 600 }
header { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: baseline }
p { margin: .2rem 0 } .soft { color: var(--soft) } time { color: var(--soft) }
.badge { padding: .1rem .6rem; border-radius: 1rem; border: 1px solid currentColor; font-size: .85rem; font-weight: 600 }
.good { color: var(--good) } .warn { color: var(--warn) } .bad { color: var(--bad) }
.boxes { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)) }
.box { background: var(--box); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem; min-width: 0 }
.box .node { border-top: 1px solid var(--line); padding: .5rem 0 .2rem; margin-top: .5rem }
.node h4 { display: flex; justify-content: space-between; gap: .6rem; flex-wrap: wrap }
.device { margin: .5rem 0 } .device p { display: flex; justify-content: space-between; gap: .3rem .8rem; flex-wrap: wrap }
.small { font-size: .82rem; color: var(--soft); overflow-wrap: anywhere }
svg.bar { display: block; width: 100%; height: .6rem; margin: .15rem 0 } .track { fill: var(--track) } .fill { fill: var(--fill) }
.fill.warn { fill: var(--warn) } .fill.bad { fill: var(--bad) }
ul { list-style: none; padding: 0; margin: 0 } li { padding: .3rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
li:last-child { border-bottom: 0 }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .25rem .7rem; border-bottom: 1px solid var(--line) } tr:last-child td { border-bottom: 0 }
th:first-child, td:first-child { text-align: left; padding-left: 0 } th { color: var(--soft); font-weight: 600; font-size: .82rem }
@media (max-width: 36rem) { th, td { padding: .25rem .3rem; font-size: .8rem } }
`

/** Nothing runs and nothing is loaded: the page's own style is all that is allowed. */
export const PAGE_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export function statusPage(status: ClusterStatus): string {
  const taken = new Date(status.takenAtMs).toISOString()
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${REFRESH_SECONDS}">
<title>Swiftlet: ${status.health}</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>Swiftlet</h1> <span class="badge ${HEALTH_CLASSES[status.health]}">${status.health}</span>
<span>${text(usedText(status))}</span> <time datetime="${taken}">${taken.replace('T', ' ').slice(0, 19)} UTC</time></header>
${status.work.moving + status.work.repairing > 0 ? `<p>${text(workText(status.work))}</p>` : ''}
${findings(status.findings)}
${status.regions.map((region) => regionBox(region, status.takenAtMs)).join('\n')}
<h2>Rings</h2>
<div class="box scroll"><table>
<tr><th>ring</th><th>version</th><th>partitions</th><th>replicas</th><th>degraded</th><th>refusing</th><th>moving</th></tr>
${status.rings.map(ringRow).join('\n')}
</table></div>
</body>
</html>
`
}

const HEALTH_CLASSES = { well: 'good', degraded: 'warn', refusing: 'bad' } as const
const SEVERITY_CLASSES = { alarm: 'bad', warning: 'warn', note: 'soft' } as const

function findings(all: readonly Finding[]): string {
  if (all.length === 0) return ''
  const items = all.map(
    ({ severity, where, text: what }) =>
      `<li><strong class="${SEVERITY_CLASSES[severity]}">${severity}</strong> ${text(where)}: ${text(what)}</li>`,
  )
  return `<h2>To look at</h2>\n<div class="box"><ul>${items.join('\n')}</ul></div>`
}

function regionBox({ region, zones }: RegionStatus, nowMs: number): string {
  const boxes = zones.map((zone) => zoneBox(zone, nowMs)).join('\n')
  return `<h2>Region ${region}</h2>\n<div class="boxes">${boxes}</div>`
}

function zoneBox({ zone, nodes }: ZoneStatus, nowMs: number): string {
  return `<section class="box"><h3>Zone ${zone}</h3>${nodes.map((node) => nodeBox(node, nowMs)).join('\n')}</section>`
}

function nodeBox({ address, unreachable, devices }: NodeStatus, nowMs: number): string {
  const state =
    unreachable === '' ? '<span class="good">up</span>' : '<span class="bad">unreachable</span>'
  const why = unreachable === '' ? '' : `<p class="small">${text(unreachable)}</p>`
  const inside = devices.map((device) => deviceBox(device, nowMs)).join('\n')
  return `<div class="node"><h4><span>${text(address)}</span>${state}</h4>${why}${inside}</div>`
}

function deviceBox({ name, status, partitions, weight }: DeviceView, nowMs: number): string {
  const share = weight === 0 ? 'drained' : `${countText(partitions)} replicas`
  if (status === null) {
    return `<div class="device"><p><strong>${text(name)}</strong> <span class="bad">unknown</span></p>${bar(0, '')}<p class="small">${share}</p></div>`
  }
  const fullness = fullnessOf(status)
  const isWell = status.state === 'online'
  const warning = isWell ? (fullness > 0.85 ? 'warn' : '') : 'bad'
  const state = `<span class="${isWell ? 'good' : 'bad'}">${status.state}</span>`
  const room = `${Math.round(fullness * 100)} % full, ${bytesText(status.bytesFree)} free`
  const facts = [share, ...conditionTexts(status, nowMs)].join(' · ')
  return (
    `<div class="device"><p><span><strong>${text(name)}</strong> ${state}</span> <span>${room}</span></p>` +
    `${bar(fullness, warning)}<p class="small">${text(facts)}</p></div>`
  )
}

function bar(share: number, kind: string): string {
  const percent = Math.round(share * 1000) / 10
  return (
    `<svg class="bar" role="img" aria-label="${percent} % full"><rect class="track" width="100%" height="100%" rx="4"/>` +
    `<rect class="fill ${kind}" width="${percent}%" height="100%" rx="4"/></svg>`
  )
}

function ringRow(ring: RingStatus): string {
  const cell = (value: number, kind: string) =>
    `<td${value > 0 && kind !== '' ? ` class="${kind}"` : ''}>${countText(value)}</td>`
  return (
    `<tr><td>${text(ringName(ring))}</td>${cell(ring.version, '')}${cell(ring.partitions, '')}<td>${ring.replicas}</td>` +
    `${cell(ring.degraded, 'warn')}${cell(ring.refusing, 'bad')}${cell(ring.moving, '')}</tr>`
  )
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Names and reasons come from elsewhere. */
function text(plain: string): string {
  return plain.replace(/[&<>"']/g, (character) => ESCAPES[character]!)
}
