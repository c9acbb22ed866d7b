/** Devices that all have the same firmware: they answer at once, or when they are told to. */
import { AxdrWriter } from '../../core/dlms/axdr/axdr.ts'
import type { ExchangeResult, Wan, WanCommand } from '../../core/ports/wan.ts'

export class BenchWan implements Wan {
  answers = true
  /** Exchanges that were ever begun. */
  begun = 0
  private readonly firmware: Uint8Array
  private waiting: Array<() => void> = []

  constructor() {
    const writer = new AxdrWriter()
    writer.visibleString('v1')
    this.firmware = writer.take()
  }

  /** Exchanges that wait for an answer. */
  get openCount(): number {
    return this.waiting.length
  }

  exchange(_address: unknown, { cosem = [] }: WanCommand): Promise<ExchangeResult> {
    this.begun++
    const result: ExchangeResult = {
      ok: true,
      results: cosem.map(() => ({ value: this.firmware, result: 0 })),
    }
    if (this.answers) return Promise.resolve(result)
    return new Promise((resolve) => this.waiting.push(() => resolve(result)))
  }

  answerAll(): void {
    for (const answer of this.waiting.splice(0)) answer()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
