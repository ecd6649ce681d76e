const BEYOND_ASCII = /[^\0-\x7f]/

/** Bytes of the text as UTF-8. */
export function utf8Bytes(text: string): number {
  return BEYOND_ASCII.test(text) ? Buffer.byteLength(text, 'utf8') : text.length
}

/** Whether it takes more bytes. A character of UTF-16 takes three at most: short texts need not be counted. */
export function isLonger(text: string, bytesMax: number): boolean {
  return text.length * 3 > bytesMax && utf8Bytes(text) > bytesMax
}
