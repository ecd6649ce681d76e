import type { ChangeMarks } from '../../common/change-marks.ts'
import { ServiceError } from '../../common/errors.ts'
import type { IamOutcome, IamRequest, IamService } from '../../common/iam.ts'
import type { IdentityClient } from '../../common/identity-client/identity-client.ts'
import { IAM_MARK } from './keystone-access-keys.ts'

const PATH = '/v3/OS-SWIFTLET/iam'
const EMAILS_PATH = '/v3/OS-SWIFTLET/accounts_of_emails'

/** IAM and STS, as the identity service keeps them. */
export class KeystoneIam implements IamService {
  readonly #session: Pick<IdentityClient['session'], 'send'>
  readonly #marks: ChangeMarks

  constructor(session: Pick<IdentityClient['session'], 'send'>, marks: ChangeMarks) {
    this.#session = session
    this.#marks = marks
  }

  async call({ accessKey, sessionToken, action, params }: IamRequest): Promise<IamOutcome> {
    const { status, body } = await this.#send({
      access_key: accessKey,
      ...(sessionToken !== undefined && { session_token: sessionToken }),
      action,
      params,
    })
    if (status === 200 && typeof body === 'object' && body !== null) return body as IamOutcome
    throw unavailable(status)
  }

  async #send(asked: { readonly action: string; readonly [name: string]: unknown }) {
    try {
      return await this.#session.send({ method: 'POST', path: PATH, body: asked })
    } finally {
      // A change whose answer is lost may have been made, too.
      if (!/^(?:Get|List|Assume|Simulate)/.test(asked.action)) this.#marks.note(IAM_MARK)
    }
  }

  async accountsOfEmails(
    emails: readonly string[],
  ): Promise<Readonly<Record<string, readonly string[]>>> {
    const { status, body } = await this.#session.send({
      method: 'POST',
      path: EMAILS_PATH,
      body: { emails },
    })
    if (status !== 200) throw unavailable(status)
    const { accounts } = body as { readonly accounts: Readonly<Record<string, readonly string[]>> }
    return accounts
  }
}

function unavailable(status: number): ServiceError {
  return new ServiceError('IdentityUnavailable', `a call of IAM is answered ${status}`, {
    status: 503,
    retryAfterSeconds: 2,
  })
}
