/** A time as Keystone writes it: UTC with microseconds and `Z`. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace(/Z$/, '000Z')
}
