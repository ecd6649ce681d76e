/** Numbers in Parquet's hybrid of runs and packed bits, one after the other: however long a run is, nothing of it is kept. */

/** More are never needed: no dictionary that is read has so many values. */
const WIDTH_MAX = 24

export class RleRuns {
  readonly #bytes: Buffer
  readonly #width: number
  readonly #mask: number
  #at: number
  /** Of the run that is under way. */
  #left = 0
  #value = 0
  /** Of a packed run: the place of its next bit; -1: the run is of one value. */
  #bit = -1

  /** RangeError for a width that is none. */
  constructor(bytes: Buffer, at: number, width: number) {
    if (width > WIDTH_MAX) throw new RangeError(`a width of ${width} bits`)
    this.#bytes = bytes
    this.#at = at
    this.#width = width
    this.#mask = 2 ** width - 1
  }

  /** RangeError behind the end of the bytes. */
  next(): number {
    if (this.#width === 0) return 0
    while (this.#left === 0) this.#begin()
    this.#left--
    if (this.#bit < 0) return this.#value
    const value = this.#packed(this.#bit)
    this.#bit += this.#width
    return value
  }

  #begin(): void {
    const head = this.#varint()
    const count = Math.floor(head / 2)
    if (head % 2 === 1) {
      this.#left = count * 8
      this.#bit = this.#at * 8
      this.#at += count * this.#width
      return
    }
    this.#left = count
    this.#bit = -1
    const bytes = Math.ceil(this.#width / 8)
    this.#value = this.#bytes.readUIntLE(this.#at, bytes) & this.#mask
    this.#at += bytes
  }

  #packed(bit: number): number {
    const bytes = this.#bytes
    const at = bit >>> 3
    const shift = bit & 7
    if (at + ((shift + this.#width + 7) >>> 3) > bytes.length) throw new RangeError('packed bits')
    // What lies behind the end is zero, and masked away.
    const four =
      bytes[at]! |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)
    return (four >>> shift) & this.#mask
  }

  #varint(): number {
    let value = 0
    let weight = 1
    for (let i = 0; i < 5; i++) {
      const byte = this.#bytes.readUInt8(this.#at++)
      value += (byte & 0x7f) * weight
      if (byte < 0x80) return value
      weight *= 128
    }
    throw new RangeError('a run without an end')
  }
}
