import { type PolicyDocument, type PolicyForm, parsePolicy } from './policy-document.ts'

/** A statement without a resource is about the bucket and all that is in it. */
export const BUCKET_POLICY: PolicyForm = {
  principal: 'required',
  resource: 'optional',
  bytesMax: 20 * 1024,
}

/** Policies that were read lately: the same text is asked about again and again. */
const PARSED_MAX = 1000
/** By form, since the same text may be somebody's own and a bucket's; then by the text itself, which is hashed once. */
const parsed = { required: newMemory(), forbidden: newMemory(), ignored: newMemory() }

function newMemory(): Map<string, PolicyDocument> {
  return new Map()
}

/** A policy that was checked when it was set. */
export function parsedPolicy(text: string, form: PolicyForm): PolicyDocument {
  const memory = parsed[form.principal]
  const known = memory.get(text)
  if (known !== undefined) return known
  const document = parsePolicy(text, { ...form, bytesMax: Number.POSITIVE_INFINITY })
  if (memory.size >= PARSED_MAX) {
    const [oldest] = memory.keys()
    memory.delete(oldest!)
  }
  memory.set(text, document)
  return document
}
