/** Files of Linux's /proc, as Swift's recon tells them. Pure; an empty text gives an empty answer. */

const PAGE_BYTES = 4096

/** `/proc/meminfo`: `{"MemTotal": "16309780 kB", …}`. */
export function parseMemory(text: string): Readonly<Record<string, string>> {
  const pairs = linesOf(text).map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
  return Object.fromEntries(pairs)
}

/** `/proc/loadavg`, the part behind the averages. */
export function parseLoad(text: string): { readonly tasks?: string; readonly processes?: number } {
  const [, , , tasks, processes] = text.trim().split(/\s+/)
  if (tasks === undefined || processes === undefined) return {}
  return { tasks, processes: Number(processes) }
}

export function parseMounts(
  text: string,
): readonly { readonly device: string; readonly path: string }[] {
  return linesOf(text).flatMap((line) => {
    const [device, path] = line.split(' ')
    return device === undefined || path === undefined ? [] : [{ device, path }]
  })
}

/** `/proc/net/sockstat` and `sockstat6`; memory in bytes. */
export function parseSockets(four: string, six: string): Readonly<Record<string, number>> {
  const tcp = fieldsOf(four, 'TCP:')
  const tcp6 = fieldsOf(six, 'TCP6:')
  return {
    ...(tcp.inuse !== undefined && {
      tcp_in_use: tcp.inuse,
      orphan: tcp.orphan ?? 0,
      time_wait: tcp.tw ?? 0,
      tcp_mem_allocated_bytes: (tcp.mem ?? 0) * PAGE_BYTES,
    }),
    ...(tcp6.inuse !== undefined && { tcp6_in_use: tcp6.inuse }),
  }
}

/** The numbers of `TCP: inuse 5 orphan 0 …`. */
function fieldsOf(text: string, start: string): Readonly<Record<string, number>> {
  const line = linesOf(text).find((one) => one.startsWith(`${start} `))
  const fields: Record<string, number> = {}
  const words = line?.split(' ').slice(1) ?? []
  for (let i = 0; i + 1 < words.length; i += 2) fields[words[i]!] = Number(words[i + 1])
  return fields
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
