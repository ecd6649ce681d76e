import t from 'tap'
import type { Exchange } from '../exchange.ts'
import { type Reply, textReply } from '../reply.ts'
import { type Layer, throughLayers } from './layer.ts'

function marking(name: string, concerns = true): Layer {
  return {
    name,
    concerns: () => concerns,
    async answer(_exchange, next) {
      const reply = await next()
      return { ...reply, body: `${name}(${String(reply.body)})` }
    },
  }
}

const exchange = {} as Exchange
const last = (): Reply => textReply(200, 'handler')

t.test('layers stand around the handler in the order of their table', async (t) => {
  const reply = await throughLayers([marking('a'), marking('b')], exchange, last)
  t.equal(reply.body, 'a(b(handler))')
})

t.test('a layer that a request does not concern is passed by, without a promise', async (t) => {
  const reply = throughLayers([marking('a', false), marking('b', false)], exchange, last)
  t.notOk(reply instanceof Promise)
  t.equal(
    (await throughLayers([marking('a', false), marking('b')], exchange, last)).body,
    'b(handler)',
  )
})

t.test('a layer may answer by itself, and what is below is not asked', async (t) => {
  const own: Layer = { name: 'own', concerns: () => true, answer: () => textReply(403, 'no') }
  const below = () => t.fail('asked')
  t.equal((await throughLayers([own], exchange, below as never)).status, 403)
})

t.test('what a lower layer refuses reaches the ones above as an error', async (t) => {
  const refusing: Layer = {
    name: 'refusing',
    concerns: () => true,
    answer: () => Promise.reject(new Error('refused')),
  }
  await t.rejects(async () => throughLayers([marking('a'), refusing], exchange, last), {
    message: 'refused',
  })
})
