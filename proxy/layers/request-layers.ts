/**
 * What stands around the handlers of the Swift API, as one table; the order is that of a Swift proxy's pipeline. What is
 * not switched on is not in it.
 */
import type { ProxyOptions } from '../proxy-options.ts'
import { bulkLayer } from './bulk/bulk.ts'
import { formPostLayer } from './form-post.ts'
import type { Layer, Layers } from './layer.ts'
import { staticWebLayer } from './static-web.ts'
import { tempUrlLayer } from './temp-url.ts'

export function requestLayers({ layers: options = {} }: Pick<ProxyOptions, 'layers'>): Layers {
  const outer = [
    onByDefault(options.bulk, bulkLayer),
    onByDefault(options.tempurl, tempUrlLayer),
    onByDefault(options.formpost, formPostLayer),
  ]
  const inner = [onByDefault(options.staticweb, staticWebLayer)]
  return { outer: outer.filter(isOn), inner: inner.filter(isOn) }
}

/** With nothing said about it, the feature is on as Swift has it. */
function onByDefault<O extends object>(
  options: O | false | undefined,
  make: (options: O) => Layer,
): Layer | null {
  return options === false ? null : make(options ?? ({} as O))
}

function isOn(layer: Layer | null): layer is Layer {
  return layer !== null
}
