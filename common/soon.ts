/**
 * A value that is mostly there at once: what a cache holds, or a check that needs nothing. Each await costs a small request
 * a promise and a turn of the microtask queue; a chain of thirty costs more than reading the object does.
 */
export type Soon<T> = T | Promise<T>

/** Goes on with the value: at once if it is there. */
export function soon<T, U>(value: Soon<T>, next: (value: T) => Soon<U>): Soon<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}
