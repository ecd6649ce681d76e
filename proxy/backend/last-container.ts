/** What was found for the container that was asked for last: a request asks several times for one. */
export class LastContainer<T> {
  #account = ''
  #container = ''
  #found: T | undefined

  /** Undefined for another container. */
  get(account: string, container: string): T | undefined {
    return this.#container === container && this.#account === account ? this.#found : undefined
  }

  note(account: string, container: string, found: T): void {
    this.#account = account
    this.#container = container
    this.#found = found
  }
}
