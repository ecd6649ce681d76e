import { ringCommand } from './cli.ts'

/** `node ring-builder/main.js <builder file> …`: the ring commands on their own, as the benchmark measures them. */
await ringCommand().parseAsync(process.argv)
