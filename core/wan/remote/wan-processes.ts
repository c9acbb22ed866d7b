/**
 * The wan processes that a host can hear, and which of them has the devices at an address: the one
 * with the highest hash of both (rendezvous hashing), so that every host chooses alike and a
 * process that goes moves nobody else's addresses.
 */
import { limits } from '../../base/limits.ts'
import { fnv1a32 } from '../../base/bytes.ts'
import { Heard, wanAliveSubject } from '../../cluster/alive.ts'
import type { Bus } from '../../ports/bus.ts'
import type { Clock } from '../../ports/clock.ts'

export type WanProcessesOptions = {
  bus: Bus
  clock: Clock
  /** A process was heard for the first time, or again after it had gone. */
  onCame?(wanId: string): void
  /** A process has fallen silent, or was forgotten. */
  onGone?(wanId: string): void
}

type Present = { wanId: string; hash: number; isLeaving: boolean }

export class WanProcesses {
  private readonly options: WanProcessesOptions
  private readonly heard = new Heard(limits.wanSilenceMsMax)
  private readonly present = new Map<string, Present>()
  private choosable: readonly Present[] = []
  private listening: { close(): Promise<void> } | undefined

  constructor(options: WanProcessesOptions) {
    this.options = options
  }

  async start(): Promise<void> {
    this.listening = await this.options.bus.listen(wanAliveSubject('*'), (data) =>
      this.onAlive(data.toString('latin1')),
    )
  }

  async close(): Promise<void> {
    await this.listening?.close()
  }

  /** Those that take exchanges, in order of their names. */
  get names(): string[] {
    return this.choosable.map(({ wanId }) => wanId).sort()
  }

  /** Who has the devices at the address with this hash; undefined when nobody is there. */
  choose(addressHash: number): string | undefined {
    let best: Present | undefined
    let bestScore = -1
    for (const present of this.choosable) {
      const score = mixed(present.hash ^ addressHash)
      if (score > bestScore) {
        best = present
        bestScore = score
      }
    }
    return best?.wanId
  }

  /** It takes nothing new, but ends what it has. */
  leaving(wanId: string): void {
    const present = this.present.get(wanId)
    if (present === undefined) return
    present.isLeaving = true
    this.chooseAnew()
  }

  /** It does not answer; it comes back when it is heard again. */
  forget(wanId: string): void {
    this.heard.forget(wanId)
    if (!this.present.delete(wanId)) return
    this.chooseAnew()
    this.options.onGone?.(wanId)
  }

  /** Forgets those that have fallen silent. */
  look(): void {
    const alive = new Set(this.heard.alive(this.options.clock.elapsedMs()))
    for (const wanId of [...this.present.keys()]) if (!alive.has(wanId)) this.forget(wanId)
  }

  private onAlive(wanId: string): void {
    if (!this.heard.note(wanId, this.options.clock.elapsedMs()) || this.present.has(wanId)) return
    this.present.set(wanId, { wanId, hash: hashOf(wanId), isLeaving: false })
    this.chooseAnew()
    this.options.onCame?.(wanId)
  }

  private chooseAnew(): void {
    this.choosable = [...this.present.values()].filter(({ isLeaving }) => !isLeaving)
  }
}

/** For `choose`. */
export const hashOf = (text: string): number => fnv1a32(Buffer.from(text, 'utf8'))

/**
 * Every bit of the score depends on every bit of both hashes, which FNV alone does not give.
 * @source the finaliser of MurmurHash3, 32 bit (public domain)
 */
function mixed(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
