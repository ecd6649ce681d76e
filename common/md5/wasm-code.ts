/**
 * The few instructions of WebAssembly that the kernels of MD5 are made of, as bytes.
 * Source: WebAssembly Core Specification 2.0, 5.4 (instructions) and 5.5 (modules).
 */

/** Bytes, and sequences of them: all of it in order is the code. */
export type Code = number | readonly Code[]

const VALUE_TYPES = { i32: 0x7f, v128: 0x7b } as const
type ValueType = keyof typeof VALUE_TYPES

/** Loads and stores add the offset to the address on the stack. */
export const i32 = {
  const: (value: number): Code => [0x41, signed(value | 0)],
  load: (offset: number): Code => [0x28, 2, unsigned(offset)],
  store: (offset: number): Code => [0x36, 2, unsigned(offset)],
  add: 0x6a,
  sub: 0x6b,
  mul: 0x6c,
  and: 0x71,
  or: 0x72,
  xor: 0x73,
  not: [0x41, 0x7f, 0x73],
  rotl: 0x77,
} as const

/** Four numbers of 32 bits at once. */
export const v128 = {
  load: (offset: number): Code => [vector(0), 4, unsigned(offset)],
  store: (offset: number): Code => [vector(11), 4, unsigned(offset)],
  /** The same number four times. */
  splat(value: number): Code {
    const bytes = [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24]
    return [vector(12), bytes, bytes, bytes, bytes]
  },
  /** Four numbers out of eight: 0 to 3 are the first operand's, 4 to 7 the second's. */
  pick: (numbers: readonly number[]): Code => [
    vector(13),
    numbers.map((number) => [0, 1, 2, 3].map((byte) => number * 4 + byte)),
  ],
  not: vector(77),
  and: vector(78),
  or: vector(80),
  xor: vector(81),
  shiftLeft: vector(171),
  shiftRight: vector(173),
  add: vector(174),
} as const

export const get = (local: number): Code => [0x20, unsigned(local)]
export const set = (local: number): Code => [0x21, unsigned(local)]
export const tee = (local: number): Code => [0x22, unsigned(local)]

/** Runs the body again while it leaves something else than zero. */
export function repeatWhile(body: Code): Code {
  return [0x03, 0x40, body, 0x0d, 0, 0x0b]
}

export interface WasmFunction {
  readonly name: string
  /** All of them i32. */
  readonly parameters: number
  /** Behind the parameters. */
  readonly locals: readonly (readonly [count: number, type: ValueType])[]
  readonly code: Code
}

/** A module of functions without results, over a memory of so many pages that is exported as `memory`. */
export function wasmModule(functions: readonly WasmFunction[], pages: number): Uint8Array {
  const types = functions.map(({ parameters }) => [
    0x60,
    list(Array.from({ length: parameters }, () => VALUE_TYPES.i32)),
    0,
  ])
  const exports = functions.map(({ name }, index) => [text(name), 0, index])
  const module: Code = [
    [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(1, list(types)),
    section(3, list(functions.map((_, index) => index))),
    section(5, list([[0, unsigned(pages)]])),
    section(7, list([...exports, [text('memory'), 2, 0]])),
    section(10, list(functions.map(bodyOf))),
  ]
  return Uint8Array.from(bytesOf(module))
}

function bodyOf({ locals, code }: WasmFunction): Code {
  const groups = locals.map(([count, type]) => [unsigned(count), VALUE_TYPES[type]])
  return sized([list(groups), code, 0x0b])
}

function section(id: number, content: Code): Code {
  return [id, sized(content)]
}

function list(items: readonly Code[]): Code {
  return [unsigned(items.length), items]
}

function text(name: string): Code {
  return sized([...Buffer.from(name)])
}

function sized(content: Code): Code {
  const bytes = bytesOf(content)
  return [unsigned(bytes.length), bytes]
}

function bytesOf(code: Code, into: number[] = []): number[] {
  if (typeof code === 'number') into.push(code)
  else for (const part of code) bytesOf(part, into)
  return into
}

function vector(opcode: number): Code {
  return [0xfd, unsigned(opcode)]
}

/** LEB128, as all numbers of a module are written. */
function unsigned(value: number): Code {
  return value < 0x80 ? value : [(value & 0x7f) | 0x80, unsigned(value >>> 7)]
}

function signed(value: number): Code {
  const [byte, rest] = [value & 0x7f, value >> 7]
  const isLast = rest === (byte & 0x40 ? -1 : 0)
  return isLast ? byte : [byte | 0x80, signed(rest)]
}
