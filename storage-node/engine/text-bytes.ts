/**
 * Short texts into buffers. Each call of Buffer's own writers costs a tenth of a microsecond before it writes anything, and a
 * small PUT would make sixteen of them.
 */

const LONG = 96
const HEX = new Uint8Array(128)
for (let digit = 0; digit < 16; digit++) HEX[digit.toString(16).charCodeAt(0)] = digit

/** Writes a latin1 text, one byte a character. */
export function writeLatin1(target: Buffer, text: string, at: number): void {
  if (text.length > LONG) {
    target.write(text, at, text.length, 'latin1')
    return
  }
  for (let i = 0; i < text.length; i++) target[at + i] = text.charCodeAt(i)
}

/** Writes what an even number of lower-case hex digits stands for. */
export function writeHex(target: Buffer, digits: string, at: number): void {
  for (let i = 0; i < digits.length; i += 2) {
    const byte = (HEX[digits.charCodeAt(i)]! << 4) | HEX[digits.charCodeAt(i + 1)]!
    target[at + (i >> 1)] = byte
  }
}

/** Writes the text as UTF-8, which takes so many bytes. */
export function writeUtf8(target: Buffer, text: string, at: number, bytes: number): void {
  if (bytes === text.length) writeLatin1(target, text, at)
  else target.write(text, at, bytes, 'utf8')
}
