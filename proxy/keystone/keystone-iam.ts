import type { ChangeMarks } from '../../common/change-marks.ts'
import { ServiceError } from '../../common/errors.ts'
import type { IamOutcome, IamRequest, IamService } from '../../common/iam.ts'
import type { IdentityClient } from '../../common/identity-client/identity-client.ts'
import { IAM_MARK } from './keystone-access-keys.ts'

const PATH = '/v3/OS-SWIFTLET/iam'

/** IAM and STS, as the identity service keeps them. */
export class KeystoneIam implements IamService {
  readonly #session: Pick<IdentityClient['session'], 'send'>
  readonly #marks: ChangeMarks

  constructor(session: Pick<IdentityClient['session'], 'send'>, marks: ChangeMarks) {
    this.#session = session
    this.#marks = marks
  }

  async call({ accessKey, sessionToken, action, params }: IamRequest): Promise<IamOutcome> {
    const { status, body } = await this.#session.send({
      method: 'POST',
      path: PATH,
      body: {
        access_key: accessKey,
        ...(sessionToken !== undefined && { session_token: sessionToken }),
        action,
        params,
      },
    })
    if (!/^(?:Get|List|Assume)/.test(action)) this.#marks.note(IAM_MARK)
    if (status === 200 && typeof body === 'object' && body !== null) return body as IamOutcome
    throw new ServiceError('IdentityUnavailable', `a call of IAM is answered ${status}`, {
      status: 503,
      retryAfterSeconds: 2,
    })
  }
}
