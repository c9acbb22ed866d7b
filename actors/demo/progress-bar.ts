/** A bar on a terminal, a line now and then elsewhere. */
import type { WriteStream } from 'node:tty'

const barWidth = 40
const lineEveryMs = 2_000

export class ProgressBar {
  private readonly stream: WriteStream
  private shownAt = 0
  private isShown = false

  constructor(stream: WriteStream) {
    this.stream = stream
  }

  show(done: number, total: number, what: string): void {
    const filled = total === 0 ? barWidth : Math.floor((done / total) * barWidth)
    const text = `${done}/${total} ${what}`
    if (this.stream.isTTY) {
      this.stream.write(`\r[${'█'.repeat(filled)}${' '.repeat(barWidth - filled)}] ${text} `)
      this.isShown = true
    } else if (performance.now() - this.shownAt > lineEveryMs || done === total) {
      this.shownAt = performance.now()
      this.stream.write(`${text}\n`)
    }
  }

  end(): void {
    if (this.isShown) this.stream.write('\n')
    this.isShown = false
  }
}
