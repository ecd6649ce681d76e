/** Calls of SNS, signed by hand. */
import { createHash } from 'node:crypto'
import { signV4, type TestKey } from '../api/s3-store.ts'

export interface SnsAnswer {
  readonly status: number
  readonly code: string
  readonly text: string
}

export async function callSns(
  url: string,
  key: TestKey,
  action: string,
  params: Readonly<Record<string, string>> = {},
): Promise<SnsAnswer> {
  const named = { Action: action, Version: '2010-03-31', ...params }
  const body = new URLSearchParams(named).toString()
  const timestamp = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const payloadHash = createHash('sha256').update(body).digest('hex')
  const headers = { host: new URL(url).host, 'x-amz-date': timestamp }
  const asked = { method: 'POST', path: '/', headers, payloadHash, timestamp, key, service: 'sns' }
  const response = await fetch(`${url}/`, {
    method: 'POST',
    headers: {
      'x-amz-date': timestamp,
      authorization: signV4(asked),
      'content-type': 'application/x-www-form-urlencoded',
    },
    body,
  })
  const text = await response.text()
  return { status: response.status, code: /<Code>(.*?)<\/Code>/.exec(text)?.[1] ?? '', text }
}

/** Makes a topic, or sets it anew; its ARN. */
export async function makeTopic(
  url: string,
  key: TestKey,
  name: string,
  attributes: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { text } = await callSns(url, key, 'CreateTopic', {
    Name: name,
    ...attributeParams(attributes),
  })
  const arn = /<TopicArn>(.*?)<\/TopicArn>/.exec(text)?.[1]
  if (arn === undefined) throw new Error(text)
  return arn
}

export function attributeParams(
  attributes: Readonly<Record<string, string>>,
): Record<string, string> {
  const pairs = Object.entries(attributes).flatMap(([key, value], at) => [
    [`Attributes.entry.${at + 1}.key`, key],
    [`Attributes.entry.${at + 1}.value`, value],
  ])
  return Object.fromEntries(pairs)
}
