/** A bar that fits the terminal; plain lines now and then where there is no terminal. */

const barWidthMax = 40
/** A shorter bar shows nothing: then the numbers stand alone. */
const barWidthMin = 8
const columnsDefault = 80
const lineEveryMs = 2_000

/** What the bar needs of `process.stderr`. */
export type ProgressStream = { isTTY?: boolean; columns?: number; write(text: string): unknown }

export class ProgressBar {
  private readonly stream: ProgressStream
  private readonly isBar: boolean
  private shownAt = -Infinity
  private shownWidth = 0

  /** @param env a terminal with NO_COLOR set or TERM=dumb gets plain lines, too */
  constructor(stream: ProgressStream, env: Readonly<Record<string, string | undefined>>) {
    this.stream = stream
    this.isBar = stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
  }

  show(done: number, total: number, what: string): void {
    const text = `${done}/${total} ${what}`
    if (this.isBar) this.draw(text, total === 0 ? 1 : done / total)
    else if (performance.now() - this.shownAt > lineEveryMs || done === total) {
      this.shownAt = performance.now()
      this.stream.write(`${text}\n`)
    }
  }

  /** Ends the line of the bar, so that the next text starts on a line of its own. */
  end(): void {
    if (this.shownWidth > 0) this.stream.write('\n')
    this.shownWidth = 0
  }

  private draw(text: string, share: number): void {
    // The last column stays empty: some terminals begin a new line behind it. The width is read
    // each time, since a person may change it.
    const room = (this.stream.columns || columnsDefault) - 1
    const barWidth = Math.min(barWidthMax, room - text.length - 3)
    const filled = Math.floor(share * barWidth)
    const line =
      barWidth < barWidthMin
        ? text.slice(0, room)
        : `[${'█'.repeat(filled)}${' '.repeat(barWidth - filled)}] ${text}`
    // What is left of a longer line is overwritten.
    this.stream.write(`\r${line.padEnd(Math.min(this.shownWidth, room))}`)
    this.shownWidth = line.length
  }
}
