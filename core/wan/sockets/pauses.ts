/** Waits within exchanges, which the pool's sweep ends: no timer for each. Pure. */
export class Pauses {
  private paused: Array<{ atMs: number; resume: () => void }> = []

  /** Settles at the first sweep at or after `atMs`. */
  until(atMs: number): Promise<void> {
    return new Promise((resume) => void this.paused.push({ atMs, resume }))
  }

  /** Ends those that are over at `nowMs`. */
  sweep(nowMs: number): void {
    if (this.paused.length === 0) return
    const due = this.paused.filter(({ atMs }) => atMs <= nowMs)
    this.paused = this.paused.filter((one) => !due.includes(one))
    for (const { resume } of due) resume()
  }
}
