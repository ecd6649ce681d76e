/**
 * Which names the store below may hold: a Bloom filter, so that a write of a new name need not ask LevelDB, which takes
 * longer to say "not there" than everything else that the index does for it. It errs to one side only: what is there is
 * never said not to be. It is in memory alone, and holds at most so many names; beyond them it knows nothing.
 *
 * Split blocks (Putze et al. 2007): a name sets one bit in each of the eight words of one block, 32 bytes that lie in one
 * line of the processor's cache. Growing by layers, each as large as all before it together.
 */

const WORDS = 8
/** About one in a thousand names that are not there is taken, by each layer, for one that may be. */
const BITS_PER_NAME = 16
const FIRST_LAYER_NAMES = 32 * 1024
/** Ten layers: 16 million names in 32 MiB. */
const LAYERS_MAX = 10
/** Odd numbers, one for each word of a block: they turn one number of a name into eight. */
const SALTS = Uint32Array.of(
  0x47b6137b,
  0x44974d91,
  0x8824ad5b,
  0xa2b7289d,
  0x705495c7,
  0x2df1424b,
  0x9efc4947,
  0x5c6bfb31,
)

interface Layer {
  readonly words: Uint32Array
  readonly blocks: number
  /** So many more names fit. */
  room: number
}

export class NameFilter {
  readonly #layersMax: number
  /** The newest first; null when there were too many names. */
  #layers: Layer[] | null = []
  #names = 0

  constructor(options: { readonly layersMax?: number } = {}) {
    this.#layersMax = options.layersMax ?? LAYERS_MAX
  }

  /** False once there were too many names: it is of no more use. */
  get isOfUse(): boolean {
    return this.#layers !== null
  }

  /** Bytes that it takes. */
  get bytes(): number {
    return (this.#layers ?? []).reduce((sum, { words }) => sum + words.byteLength, 0)
  }

  /** A register by its hash, of which eight bytes are enough: it is as good as random. */
  addRegister(hash: string): void {
    this.#add(fourBytes(hash, 4), fourBytes(hash, 8))
  }

  mayHaveRegister(hash: string): boolean {
    return this.#mayHave(fourBytes(hash, 4), fourBytes(hash, 8))
  }

  /** A row of a list; `name` in byte text. */
  addRow(listHash: string, name: string): void {
    const a = hashOf(name, fourBytes(listHash, 4))
    this.#add(a, remixed(a, name))
  }

  mayHaveRow(listHash: string, name: string): boolean {
    const a = hashOf(name, fourBytes(listHash, 4))
    return this.#mayHave(a, remixed(a, name))
  }

  #add(a: number, b: number): void {
    if (this.#layers === null || (this.#names > 0 && this.#mayHave(a, b))) return
    let [layer] = this.#layers
    if (layer === undefined || layer.room === 0) {
      if (this.#layers.length === this.#layersMax) {
        this.#layers = null
        return
      }
      layer = newLayer(Math.max(FIRST_LAYER_NAMES, this.#names))
      this.#layers.unshift(layer)
    }
    layer.room--
    this.#names++
    const { words } = layer
    const start = blockOf(layer, a)
    for (let i = 0; i < WORDS; i++) words[start + i]! |= bitOf(b, i)
  }

  #mayHave(a: number, b: number): boolean {
    if (this.#layers === null) return true
    for (const layer of this.#layers) if (isIn(layer, a, b)) return true
    return false
  }
}

function newLayer(names: number): Layer {
  const blocks = Math.ceil((names * BITS_PER_NAME) / (WORDS * 32))
  return { words: new Uint32Array(blocks * WORDS), blocks, room: names }
}

function isIn(layer: Layer, a: number, b: number): boolean {
  const { words } = layer
  const start = blockOf(layer, a)
  for (let i = 0; i < WORDS; i++) if ((words[start + i]! & bitOf(b, i)) === 0) return false
  return true
}

/** The first word of the block that a number from 0 to 2^32 falls to. */
function blockOf({ blocks }: Layer, a: number): number {
  return Math.floor(((a >>> 0) / 0x1_0000_0000) * blocks) * WORDS
}

function bitOf(b: number, word: number): number {
  return 1 << (Math.imul(b, SALTS[word]!) >>> 27)
}

function fourBytes(text: string, at: number): number {
  return (
    text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)
  )
}

/** FNV-1a over the characters, mixed at the end. */
function hashOf(text: string, seed: number): number {
  let hash = seed ^ 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mixed(hash)
}

/** A second number of the same name. */
function remixed(a: number, text: string): number {
  return mixed(Math.imul(a, 0x9e3779b1) ^ text.length)
}

/** The end of MurmurHash3: every bit of the input turns half of those of the output. */
function mixed(hash: number): number {
  let mix = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35)
  return mix ^ (mix >>> 16)
}
