/** Sends every socket back that it is sent: see shared-socket.ts. Ends with its parent. */
process.on('message', (_message, handle) => {
  process.send?.('copy', handle)
})
process.on('disconnect', () => process.exit(0))
// Ctrl-C reaches the whole process group; the parent decides when to end.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
