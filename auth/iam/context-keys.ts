/**
 * What policies ask of a request: the keys that a simulation wants values of.
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetContextKeysForPrincipalPolicy.html and API_GetContextKeysForCustomPolicy.html
 */
import type { IamResult } from '../../common/iam.ts'
import type { IamHandler } from './iam-call.ts'
import {
  policiesAsked,
  policiesGiven,
  policiesOf,
  type SimulatedPolicy,
  sourceAsked,
} from './simulated-policies.ts'

export const CONTEXT_KEY_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async GetContextKeysForCustomPolicy(call) {
    return showKeys(policiesAsked(call))
  },
  async GetContextKeysForPrincipalPolicy(call) {
    const row = await sourceAsked(call)
    return showKeys([...(await policiesOf(call, row)), ...policiesGiven(call, 'PolicyInputList')])
  },
}

const VARIABLE = /\$\{\s*([^\s{},*?$]+)/g

/** Of conditions and of variables, each once in any case. */
function showKeys(policies: readonly SimulatedPolicy[]): IamResult {
  const names = policies.flatMap(({ document, text }) => [
    ...document.statements.flatMap(({ conditions }) => conditions.map(({ key }) => key)),
    ...(document.hasVariables ? [...text.matchAll(VARIABLE)].map(([, name]) => name!) : []),
  ])
  return { ContextKeyNames: [...new Set(names.map((name) => name.toLowerCase()))].sort() }
}
