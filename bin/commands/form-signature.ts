import { createHmac } from 'node:crypto'
import { text as readAll } from 'node:stream/consumers'
import { Command, Option } from 'commander'
import { ServiceError } from '../../common/errors.ts'
import { DIGESTS, type Digest } from '../../proxy/layers/digest.ts'
import { wholeNumber } from '../option-values.ts'

interface SignatureOptions {
  readonly key?: string
  readonly keyStdin?: boolean
  readonly digest: Digest
}

/** Signs an upload form as `swift-form-signature` does; nothing is asked, nothing needs to run. */
export function formSignatureCommand(): Command {
  const count = wholeNumber({ min: 1, max: 1_000_000 })
  const bytes = wholeNumber({ min: 0, max: Number.MAX_SAFE_INTEGER })
  return new Command('form-signature')
    .description('sign a form by which browsers upload: prints its expires and signature')
    .argument('<path>', '/v1/account/container/prefix: what comes before the names of the files')
    .argument('<redirect>', 'where the browser goes afterwards; "" for nowhere')
    .argument('<max_file_size>', 'bytes of a file', bytes)
    .argument('<max_file_count>', 'files', count)
    .argument('<seconds>', 'how long the form is good', count)
    .argument('[key]', 'the X-Account-Meta-Temp-URL-Key or the one of the container')
    .option('--key-stdin', 'read the key from standard input, where nobody else sees it')
    .addOption(new Option('--digest <name>').choices([...DIGESTS]).default('sha256'))
    .action(async (...args: unknown[]) => {
      const [path, redirect, size, files, seconds, key, options] = args as [
        string,
        string,
        number,
        number,
        number,
        string | undefined,
        SignatureOptions,
      ]
      checkPath(path)
      const secret = options.keyStdin === true ? (await readAll(process.stdin)).trimEnd() : key
      if (secret === undefined || secret === '') throw new ServiceError('NoKey', 'give a key')
      const expires = Math.floor(Date.now() / 1000) + seconds
      const signed = [path, redirect, size, files, expires].join('\n')
      const signature = createHmac(options.digest, secret).update(signed).digest('hex')
      console.log(`  Expires: ${expires}\nSignature: ${signature}`)
    })
}

function checkPath(path: string): void {
  if (/^\/v1\/[^/]+\/[^/]+/.test(path)) return
  throw new ServiceError(
    'BadPath',
    `${path}: the path begins with /v1/account/container, and may go on with a prefix`,
  )
}
