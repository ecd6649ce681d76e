/**
 * MD5 (RFC 1321) of several messages side by side, as a module of WebAssembly.
 *
 * The 64 steps of a block need each other's results, so that one message leaves most of a core idle. Four messages are the
 * four numbers of a SIMD register, and eight fill the pauses of four: 4 KiB of each of eight take 11 us together, where
 * OpenSSL takes 6 us for one of them.
 *
 * Memory: the lanes' states, the addresses of their data, what is needed within a block, and from DATA_AT on what callers
 * put there. `one(blocks, lane)`, `four(blocks)` and `eight(blocks)` let lanes go on by so many blocks, at least one.
 */
import {
  type Code,
  get,
  i32,
  repeatWhile,
  set,
  tee,
  v128,
  type WasmFunction,
  wasmModule,
} from './wasm-code.ts'

export const LANES_MAX = 8
export const BLOCK_BYTES = 64
/** Where the addresses of the lanes' data stand, as numbers of four bytes. */
export const POINTERS_AT = 128
const WORDS_AT = 160
export const DATA_AT = 1_024

export interface Md5Kernel {
  readonly memory: { readonly buffer: ArrayBuffer }
  one(blocks: number, lane: number): void
  /** The first four lanes. */
  four(blocks: number): void
  eight(blocks: number): void
}

/** Where a lane's A (0), B, C or D (3) stands. */
export function stateAt(letter: number, lane: number): number {
  return letter * LANES_MAX * 4 + lane * 4
}

/** What is used of it: Node's types have none of it. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

/** Over memory of at least so many bytes. Takes some ten milliseconds. */
export function openMd5Kernel(bytes: number): Md5Kernel {
  const functions = [oneLane(), lanes('four', 1), lanes('eight', 2)]
  const module = new WebAssembly.Module(wasmModule(functions, Math.ceil(bytes / 65_536)))
  return new WebAssembly.Instance(module).exports as Md5Kernel
}

interface Step {
  readonly round: number
  /** Which of the block's sixteen numbers. */
  readonly word: number
  readonly constant: number
  readonly rotation: number
  /** Which letter stands for a, b, c and d in this step. */
  readonly letters: readonly [number, number, number, number]
}

const LETTERS = [0, 1, 2, 3] as const
const ROTATIONS = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
] as const
const STEPS = Array.from({ length: 64 }, (_, step) => stepOf(step))

function stepOf(step: number): Step {
  const round = step >> 4
  const letter = (name: number): number => (name - (step & 3) + 4) & 3
  return {
    round,
    word: [step, 5 * step + 1, 3 * step + 5, 7 * step][round]! & 15,
    constant: Math.floor(Math.abs(Math.sin(step + 1)) * 2 ** 32),
    rotation: ROTATIONS[round]![step & 3]!,
    letters: [letter(0), letter(1), letter(2), letter(3)],
  }
}

/** What is mixed of b, c and d in the four rounds, in fewer operations than RFC 1321 says it. */
function mixed(
  round: number,
  [b, c, d]: readonly [Code, Code, Code],
  {
    and,
    or,
    xor,
    not,
  }: { readonly and: Code; readonly or: Code; readonly xor: Code; readonly not: Code },
): Code {
  switch (round) {
    case 0:
      return [d, b, c, d, xor, and, xor]
    case 1:
      return [c, d, b, c, xor, and, xor]
    case 2:
      return [b, c, xor, d, xor]
    default:
      return [c, b, d, not, or, xor]
  }
}

/** Lets the pointer go on by a block; leaves how many blocks are left. */
function nextBlock(blocks: number, pointers: readonly number[]): Code {
  return [
    pointers.map((at) => [get(at), i32.const(BLOCK_BYTES), i32.add, set(at)]),
    [get(blocks), i32.const(1), i32.sub, tee(blocks)],
  ]
}

function oneLane(): WasmFunction {
  const [blocks, lane, at] = [0, 1, 2]
  const now = (letter: number) => 3 + letter
  const before = (letter: number) => 7 + letter
  const step = ({ round, word, constant, rotation, letters }: Step): Code => {
    const [a, b, c, d] = letters.map(now) as [number, number, number, number]
    return [
      [get(a), get(at), i32.load(word * 4), i32.add, i32.const(constant), i32.add],
      [mixed(round, [get(b), get(c), get(d)], i32), i32.add],
      [i32.const(rotation), i32.rotl, get(b), i32.add, set(a)],
    ]
  }
  const block = [
    LETTERS.map((letter) => [get(now(letter)), set(before(letter))]),
    STEPS.map(step),
    LETTERS.map((letter) => [get(now(letter)), get(before(letter)), i32.add, set(now(letter))]),
    nextBlock(blocks, [at]),
  ]
  return {
    name: 'one',
    parameters: 2,
    locals: [[9, 'i32']],
    code: [
      [get(lane), i32.const(4), i32.mul, tee(lane), i32.load(POINTERS_AT), set(at)],
      LETTERS.map((letter) => [get(lane), i32.load(stateAt(letter, 0)), set(now(letter))]),
      repeatWhile(block),
      LETTERS.map((letter) => [get(lane), get(now(letter)), i32.store(stateAt(letter, 0))]),
    ],
  }
}

const ZERO = i32.const(0)

/** What a function for several lanes keeps where: four lanes are a group. */
class Locals {
  readonly groups: readonly number[]
  readonly pointers: readonly number[]
  readonly blocks = 0

  constructor(groups: number) {
    this.groups = Array.from({ length: groups }, (_, group) => group)
    this.pointers = Array.from({ length: groups * 4 }, (_, lane) => 1 + lane)
  }

  now(letter: number, group: number): number {
    return 1 + this.pointers.length + group * 4 + letter
  }

  before(letter: number, group: number): number {
    return this.now(letter, this.groups.length + group)
  }

  spare(number: number): number {
    return this.now(number, this.groups.length * 2)
  }

  /** In memory, for there are not as many registers. */
  wordAt(word: number, group: number): number {
    return WORDS_AT + (word * this.groups.length + group) * 16
  }

  /** What is the same for all letters of all groups. */
  each(of: (letter: number, group: number) => Code): Code {
    return this.groups.map((group) => LETTERS.map((letter) => of(letter, group)))
  }
}

function lanes(name: string, groups: number): WasmFunction {
  const locals = new Locals(groups)
  const now = (letter: number, group: number) => locals.now(letter, group)
  const block = [
    locals.each((quarter, group) => turned(locals, group, quarter)),
    locals.each((letter, group) => [get(now(letter, group)), set(locals.before(letter, group))]),
    STEPS.map((step) => locals.groups.map((group) => stepOfGroup(locals, step, group))),
    locals.each((letter, group) => [
      [get(now(letter, group)), get(locals.before(letter, group)), v128.add],
      set(now(letter, group)),
    ]),
    nextBlock(locals.blocks, locals.pointers),
  ]
  return {
    name,
    parameters: 1,
    locals: [
      [locals.pointers.length, 'i32'],
      [groups * 8 + 8, 'v128'],
    ],
    code: [
      locals.pointers.map((at, lane) => [ZERO, i32.load(POINTERS_AT + lane * 4), set(at)]),
      locals.each((letter, group) => [
        [ZERO, v128.load(stateAt(letter, group * 4)), set(now(letter, group))],
      ]),
      repeatWhile(block),
      locals.each((letter, group) => [
        [ZERO, get(now(letter, group)), v128.store(stateAt(letter, group * 4))],
      ]),
    ],
  }
}

/** Sixteen bytes of each of a group's lanes, turned into four times the same word of all of them. */
function turned(locals: Locals, group: number, quarter: number): Code {
  const spare = (number: number) => locals.spare(number)
  const picked = (a: number, b: number, numbers: readonly number[]): Code => [
    [get(spare(a)), get(spare(b)), v128.pick(numbers)],
  ]
  const pairs = (to: number, of: readonly [number, number], numbers: readonly number[]): Code => [
    [picked(...of, numbers), set(spare(to))],
  ]
  const word = (
    number: number,
    of: readonly [number, number],
    numbers: readonly number[],
  ): Code => [
    [ZERO, picked(...of, numbers), v128.store(locals.wordAt(quarter * 4 + number, group))],
  ]
  return [
    LETTERS.map((lane) => [
      [get(locals.pointers[group * 4 + lane]!), v128.load(quarter * 16), set(spare(lane))],
    ]),
    pairs(4, [0, 1], [0, 4, 1, 5]),
    pairs(5, [0, 1], [2, 6, 3, 7]),
    pairs(6, [2, 3], [0, 4, 1, 5]),
    pairs(7, [2, 3], [2, 6, 3, 7]),
    word(0, [4, 6], [0, 1, 4, 5]),
    word(1, [4, 6], [2, 3, 6, 7]),
    word(2, [5, 7], [0, 1, 4, 5]),
    word(3, [5, 7], [2, 3, 6, 7]),
  ]
}

/** SIMD has no rotation: two shifts are one. */
function stepOfGroup(locals: Locals, step: Step, group: number): Code {
  const { round, word, constant, rotation } = step
  const [a, b, c, d] = step.letters.map((letter) => locals.now(letter, group)) as [
    number,
    number,
    number,
    number,
  ]
  const sum = locals.spare(group)
  return [
    [get(a), ZERO, v128.load(locals.wordAt(word, group))],
    [v128.splat(constant), v128.add, v128.add],
    [mixed(round, [get(b), get(c), get(d)], v128), v128.add, tee(sum)],
    [i32.const(rotation), v128.shiftLeft],
    [get(sum), i32.const(32 - rotation), v128.shiftRight, v128.or],
    [get(b), v128.add, set(a)],
  ]
}
