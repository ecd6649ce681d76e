import type { Exchange } from '../exchange.ts'
import type { Reply } from '../reply.ts'
import type { Domains } from './domains.ts'
import type { KeptSetting } from './kept-settings.ts'

/** Goes on with the request: through the layers below, at last to the handler. Throws what they refuse. */
export type Next = () => Reply | Promise<Reply>

/** A feature around the handlers of the Swift API: it sees requests before them and their replies after. */
export interface Layer {
  readonly name: string
  /** Whether it has a say in the request. Asked for each one, so it only looks at what is there. */
  concerns(exchange: Exchange): boolean
  /** Answers by itself, or by what `next` gives. */
  answer(exchange: Exchange, next: Next): Reply | Promise<Reply>
  /** What /info says of it, by section. */
  readonly info?: Readonly<Record<string, unknown>>
  /** How accounts and containers set it for themselves. */
  readonly settings?: readonly KeptSetting[]
}

/** The layers that are switched on, outermost first. */
export interface Layers {
  /** Before anybody is signed in: they see what clients send, and only that. */
  readonly outer: readonly Layer[]
  /** Behind the sign-in: they see requests that are made within other requests, too. */
  readonly inner: readonly Layer[]
  /** Of all of them. */
  readonly settings: readonly KeptSetting[]
  /** Null: every host is the store's. */
  readonly domains: Domains | null
}

/** Takes the request through those layers that it concerns; costs a look at each where it concerns none. */
export function throughLayers(
  layers: readonly Layer[],
  exchange: Exchange,
  last: (exchange: Exchange) => Reply | Promise<Reply>,
  from = 0,
): Reply | Promise<Reply> {
  for (let at = from; at < layers.length; at++) {
    const layer = layers[at]!
    if (layer.concerns(exchange)) {
      return layer.answer(exchange, () => throughLayers(layers, exchange, last, at + 1))
    }
  }
  return last(exchange)
}
