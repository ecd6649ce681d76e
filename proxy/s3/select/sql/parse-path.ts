import type { PathStep, SourceStep } from './query.ts'
import type { TokenStream } from './token-stream.ts'

/** What follows a name: `.name`, `[0]`, `['name']`, and `[*]` where wildcards may stand. */
export function parseSteps(
  tokens: TokenStream,
  options: { readonly wildcards: true },
): readonly SourceStep[]
export function parseSteps(tokens: TokenStream): readonly PathStep[]
export function parseSteps(
  tokens: TokenStream,
  options: { readonly wildcards: boolean } = { wildcards: false },
): readonly SourceStep[] {
  const steps: SourceStep[] = []
  for (;;) {
    if (tokens.takeSign('.')) steps.push(namedStep(tokens))
    else if (tokens.takeSign('[')) steps.push(bracketStep(tokens, options.wildcards))
    else return steps
  }
}

function namedStep(tokens: TokenStream): SourceStep {
  const name = tokens.takeName()
  if (name === null) throw tokens.error('ParseInvalidPathComponent')
  return name
}

function bracketStep(tokens: TokenStream, wildcards: boolean): SourceStep {
  const step = insideBrackets(tokens, wildcards)
  tokens.expectSign(']', 'ParseInvalidPathComponent')
  return step
}

function insideBrackets(tokens: TokenStream, wildcards: boolean): SourceStep {
  if (wildcards && tokens.takeSign('*')) return { kind: 'all' }
  const token = tokens.next()
  if (token.kind === 'string') return { kind: 'field', name: token.text, isQuoted: true }
  const index = token.kind === 'number' ? Number(token.text) : Number.NaN
  if (!Number.isSafeInteger(index)) throw tokens.error('ParseInvalidPathComponent')
  return { kind: 'index', index }
}
