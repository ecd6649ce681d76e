/** GET, PUT and DELETE ?inventory: one configuration by its id, or all. */
import type { Reply } from '../../reply.ts'
import { letIn } from '../access/s3-access.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { enterBucket, type FoundBucket, findBucket } from '../bucket/find-bucket.ts'
import { sealOfRequest } from '../encryption/encryption-choice.ts'
import {
  type InventoryRule,
  inventoriesOf,
  inventoryElement,
  inventorySetting,
  reportFolder,
} from '../inventory/inventory-rule.ts'
import { inventoryBook } from '../inventory/inventory-worker.ts'
import { type AskedInventory, readInventory } from '../inventory/read-inventory.ts'
import { judgeReport } from '../inventory/report-permission.ts'
import { callFor } from '../inventory/write-report.ts'
import type { S3Call } from '../s3-call.ts'
import { noSuchBucket, S3Error } from '../s3-error.ts'
import { emptyReply, xmlReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 64 * 1024
const RULES_MAX = 1000
const PAGE_MAX = 100

export async function getBucketInventory(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetInventoryConfiguration', acl: 'none', method: 'GET' } as const
  const { info } = await enterBucket(call, use)
  const rules = inventoriesOf(info)
  const id = call.query.get('id')
  if (id === undefined) return listed(call, rules)
  const rule = rules.find((known) => known.id === id)
  if (rule === undefined) throw new S3Error('NoSuchConfiguration')
  return xmlReply('InventoryConfiguration', inventoryElement(rule))
}

function listed(call: S3Call, rules: readonly InventoryRule[]): Reply {
  const token = call.query.get('continuation-token')
  const after = token === undefined ? '' : Buffer.from(token, 'base64url').toString()
  const rest = rules.filter(({ id }) => id > after)
  const page = rest.slice(0, PAGE_MAX)
  const isTruncated = rest.length > page.length
  return xmlReply('ListInventoryConfigurationsResult', {
    InventoryConfiguration: page.map(inventoryElement),
    IsTruncated: isTruncated,
    ContinuationToken: token,
    NextContinuationToken: isTruncated
      ? Buffer.from(page.at(-1)!.id).toString('base64url')
      : undefined,
  })
}

/** For people of the bucket's account only, whatever policies say: others would send its names where they can read them. */
export async function putBucketInventory(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutInventoryConfiguration', acl: 'none', method: 'PUT' } as const
  const { account, info } = await enterBucket(call, use)
  if (call.ownAccount !== account) throw new S3Error('AccessDenied')
  const id = call.query.get('id') ?? ''
  const root = parseXml(await receiveDocument(call, DOCUMENT_BYTES_MAX), 'InventoryConfiguration')
  const asked = readInventory(root, id)
  const known = inventoriesOf(info)
  if (known.length >= RULES_MAX && !known.some((rule) => rule.id === id)) {
    throw new S3Error('TooManyConfigurations')
  }
  // What the store cannot encipher by is refused now, not each night.
  if (asked.target.encryption !== null) await sealOfRequest(callFor(call, asked.target))
  const target = await findTarget(call, asked)
  const rule: InventoryRule = {
    ...asked,
    target: { ...asked.target, account: target.account },
    setMs: call.exchange.proxy.clock.nowMs(),
  }
  await checkTarget(call, rule, target)
  // Before, so that it is not forgotten; and after, for a page without configurations may have been closed in between.
  const book = inventoryBook(call.exchange.proxy)
  await book.note(account, call.bucket)
  await setRule(call, id, JSON.stringify(rule))
  await book.note(account, call.bucket)
  return emptyReply(200)
}

async function findTarget(call: S3Call, { target }: AskedInventory): Promise<FoundBucket> {
  try {
    return await findBucket(call, target.bucket)
  } catch (error) {
    if (error instanceof S3Error) throw new S3Error('InvalidS3DestinationBucket')
    throw error
  }
}

/**
 * A bucket of the account takes reports without a policy that says so: then whoever sets them must be let write there himself.
 * Another account's policy is asked when there is a report.
 */
async function checkTarget(
  call: S3Call,
  rule: InventoryRule,
  { account, info }: FoundBucket,
): Promise<void> {
  const source = { account: call.path.account, bucket: call.bucket }
  if (account !== source.account || judgeReport(info, rule, source) === 'allow') return
  const object = reportFolder(rule, source.bucket)
  const use = { action: 's3:PutObject', acl: 'write', method: 'PUT' } as const
  await letIn(call, { use, path: { account, container: rule.target.bucket, object }, bucket: info })
}

/** The page in the book is closed by who looks for the configurations next. */
export async function deleteBucketInventory(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutInventoryConfiguration', acl: 'none', method: 'DELETE' } as const
  const { info } = await enterBucket(call, use)
  const id = call.query.get('id') ?? ''
  if (!inventoriesOf(info).some((rule) => rule.id === id)) throw new S3Error('NoSuchConfiguration')
  await setRule(call, id, '')
  return emptyReply(204)
}

async function setRule(call: S3Call, id: string, value: string): Promise<void> {
  const { backend } = call.exchange.proxy
  const headers = { [inventorySetting(id)]: value }
  const outcome = await backend.postContainer(call.path.account, call.bucket, { headers })
  if (outcome.status !== 'done') throw noSuchBucket(call.bucket)
}
