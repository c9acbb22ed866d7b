/** Time. Everything but the edges' own libraries reads it here, so that a simulation can own it. */
export interface Clock {
  /** UTC, ms since 1970. */
  now(): number
  /**
   * Milliseconds since some moment of the past, also when the time is set meanwhile: for how long
   * something takes, or has been silent.
   */
  elapsedMs(): number
  /** Runs `action` once at or after `atMs`; the returned function calls it off. */
  at(atMs: number, action: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsedMs: () => performance.now(),
  at(atMs, action) {
    // setTimeout overflows above 2^31 ms; wake and look again.
    let timer: NodeJS.Timeout
    const arm = (): void => {
      const left = atMs - Date.now()
      timer = setTimeout(
        left > 0x7fff_ffff ? arm : action,
        Math.min(Math.max(left, 0), 0x7fff_ffff),
      )
    }
    arm()
    return () => clearTimeout(timer)
  },
}

/** Settles in the next turn of the event loop: other work that waits for the thread goes first. */
export const nextTurn = (): Promise<void> => new Promise((settle) => void setImmediate(settle))

/** Settles at or after `ms` from now. */
export const pause = (clock: Clock, ms: number): Promise<void> =>
  new Promise((settle) => void clock.at(clock.now() + ms, settle))
