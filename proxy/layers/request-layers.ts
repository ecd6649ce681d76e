/**
 * What stands around the handlers of the Swift API, as one table; the order is that of a Swift proxy's pipeline. What is
 * not switched on is not in it.
 */
import type { ProxyOptions } from '../proxy-options.ts'
import type { Layer, Layers } from './layer.ts'

export function requestLayers(_options: ProxyOptions): Layers {
  const outer: readonly (Layer | null)[] = []
  const inner: readonly (Layer | null)[] = []
  return { outer: outer.filter(isOn), inner: inner.filter(isOn) }
}

function isOn(layer: Layer | null): layer is Layer {
  return layer !== null
}
