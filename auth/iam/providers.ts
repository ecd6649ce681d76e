/** Others who say who people are, by OpenID Connect. */
import { type IamProviderRow, iamProviders } from '../tables/iam.ts'
import { parseArn, projectOfAccountId, providerArn } from './arns.ts'
import { authorise, type IamCall, type IamHandler } from './iam-call.ts'
import { entityExists, limitExceeded, noSuchEntity, validationError } from './iam-error.ts'
import { ANY_TEXT, ARN, list, type ParamForm, required } from './iam-params.ts'

const PROVIDERS_MAX = 100
const CLIENT_IDS_MAX = 100
const THUMBPRINTS_MAX = 5

const URL_FORM: ParamForm = {
  pattern: /^https?:\/\/[\w.:-]{1,255}(?:\/[\w./~%+@:-]{0,1000})?$/,
  what: 'the URL of a provider',
}

export const PROVIDER_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async CreateOpenIDConnectProvider(call) {
    const { parts, params, caller } = call
    const url = required(params, 'Url', URL_FORM).replace(/\/$/, '')
    const row: IamProviderRow = {
      projectId: caller.projectId,
      name: withoutScheme(url),
      url,
      clientIds: bounded(list(params, 'ClientIDList'), CLIENT_IDS_MAX, 'ClientIDList'),
      thumbprints: thumbprintsOf(call),
      createdMs: parts.clock.nowMs(),
    }
    const { projectId, name } = row
    authoriseProvider(call, projectId, name)
    await parts.state.transaction(async (tx) => {
      if ((await iamProviders.get(tx, projectId, name)) !== undefined)
        throw entityExists(`Provider with url ${url}`)
      const others = await iamProviders.list(tx, { prefix: [projectId], limit: PROVIDERS_MAX })
      if (others.length >= PROVIDERS_MAX) throw limitExceeded(`providers: ${PROVIDERS_MAX}`)
      await iamProviders.put(tx, row)
    })
    return { OpenIDConnectProviderArn: providerArn(parts, projectId, name) }
  },
  async GetOpenIDConnectProvider(call) {
    const { url, clientIds, thumbprints, createdMs } = await providerAsked(call)
    return {
      Url: url,
      ClientIDList: clientIds,
      ThumbprintList: thumbprints,
      CreateDate: new Date(createdMs).toISOString(),
    }
  },
  async ListOpenIDConnectProviders(call) {
    const { parts, caller } = call
    authoriseProvider(call, caller.projectId, '*')
    const rows = await iamProviders.list(parts.state, { prefix: [caller.projectId] })
    const arns = rows.map(({ projectId, name }) => providerArn(parts, projectId, name))
    return { OpenIDConnectProviderList: arns.map((Arn) => ({ Arn })) }
  },
  async DeleteOpenIDConnectProvider(call) {
    const { projectId, name } = await providerAsked(call)
    await call.parts.state.transaction((tx) => iamProviders.delete(tx, projectId, name))
    return {}
  },
  AddClientIDToOpenIDConnectProvider: (call) => {
    const id = required(call.params, 'ClientID', ANY_TEXT)
    return changeProvider(call, (row) => {
      const clientIds = [...new Set([...row.clientIds, id])]
      return { ...row, clientIds: bounded(clientIds, CLIENT_IDS_MAX, 'ClientIDList') }
    })
  },
  RemoveClientIDFromOpenIDConnectProvider: (call) => {
    const id = required(call.params, 'ClientID', ANY_TEXT)
    return changeProvider(call, (row) => ({
      ...row,
      clientIds: row.clientIds.filter((one) => one !== id),
    }))
  },
  UpdateOpenIDConnectProviderThumbprint: (call) => {
    const thumbprints = thumbprintsOf(call)
    return changeProvider(call, (row) => ({ ...row, thumbprints }))
  },
}

export function withoutScheme(url: string): string {
  return url.replace(/^https?:\/\//, '')
}

async function providerAsked(call: IamCall): Promise<IamProviderRow> {
  const arn = required(call.params, 'OpenIDConnectProviderArn', ARN)
  const parsed = parseArn(arn)
  const projectId = parsed === null ? null : projectOfAccountId(call.parts, parsed.accountId)
  if (parsed?.type !== 'oidc-provider' || projectId === null) throw noSuchEntity(`Provider ${arn}`)
  authoriseProvider(call, projectId, parsed.name)
  const row = await iamProviders.get(call.parts.state, projectId, parsed.name)
  if (row === undefined) throw noSuchEntity(`Provider ${arn}`)
  return row
}

async function changeProvider(
  call: IamCall,
  changed: (row: IamProviderRow) => IamProviderRow,
): Promise<Record<string, never>> {
  const { projectId, name } = await providerAsked(call)
  await call.parts.state.transaction(async (tx) => {
    const row = await iamProviders.get(tx, projectId, name)
    if (row === undefined) throw noSuchEntity(`Provider ${name}`)
    await iamProviders.put(tx, changed(row))
  })
  return {}
}

function authoriseProvider(call: IamCall, projectId: string, name: string): void {
  authorise(call, { projectId, arn: providerArn(call.parts, projectId, name) })
}

function thumbprintsOf({ params }: IamCall): readonly string[] {
  return bounded(list(params, 'ThumbprintList'), THUMBPRINTS_MAX, 'ThumbprintList')
}

function bounded(values: readonly string[], max: number, name: string): readonly string[] {
  if (
    values.length > max ||
    values.some((value) => !ANY_TEXT.pattern.test(value) || value.length > 255)
  )
    throw validationError(`Value at '${name}' must be up to ${max} texts of up to 255 characters.`)
  return values
}
