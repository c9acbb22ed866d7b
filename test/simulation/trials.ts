/**
 * Actors of another kind beside the devices, under the same octets: they are sent numbers, and each
 * of their facts must continue the sum of those before it, wherever the partition went meanwhile.
 * What was acknowledged is in the ledger; what nobody answered may be there, once or more.
 */
import { ActorKindNumber, kindOfActor } from '../../core/base/actor-id.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readOutcome, readTarget } from '../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../core/envelope/frame.ts'
import { readLetter } from '../../core/envelope/letter.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { partitionOf } from '../../core/envelope/partition.ts'
import { hostSubject, type Bus, type OwnerDirectory } from '../../core/ports/bus.ts'
import { deviceKey, envelopeOf } from '../support/envelopes.ts'
import { readAdded } from '../support/trial-kind.ts'
import { meterCount } from './names.ts'

const answerMsMax = 5_000
/** What is told by letter is sixteen times the number that began it. */
const firstLetter = 1_600

export class Trials {
  /** Facts continue it; 0 for an actor that has none yet. */
  private readonly sums = new Map<Eui64, number>()
  private readonly written = new Set<number>()
  /** Acknowledged, and not seen in the ledger yet. */
  private readonly owed = new Set<number>()
  /** Sent by letter and not added yet, and how often: a doubled frame sends two. */
  private readonly told = new Map<number, number>()
  private last = 100
  /** The tick of the last fact, and the directory that it was decided by. */
  private tick = { sequence: 0, directory: 0 }
  private readonly fault: (what: string) => void

  constructor(fault: (what: string) => void) {
    this.fault = fault
  }

  get count(): number {
    return this.written.size
  }

  /** Letters that are not decided yet. */
  get waiting(): number {
    return this.told.size
  }

  /**
   * Sends the next number to the trial beside meter `index`; nobody sends it again. With `letters`
   * it and the next trial tell one another so many more.
   */
  add(index: number, letters: number, bus: Bus, directory: OwnerDirectory): void {
    const device = deviceKey(index % meterCount)
    const value = ++this.last
    const partition = partitionOf(device, directory.partitionCount)
    const next = Buffer.from(deviceKey((index + 1) % meterCount), 'latin1')
    const body = letters === 0 ? Buffer.alloc(0) : Buffer.concat([next, Buffer.of(letters - 1)])
    const envelope = envelopeOf({ kind: Kind.TRIAL_ADD, device, counter: value, body })
    bus.request(hostSubject(directory.ownerOf(partition) ?? ''), envelope, answerMsMax).then(
      (answer) => {
        if (errorCodeOf(readOutcome(answer, 0)) !== 'REQUEST_ACCEPTED') return
        if (!this.written.has(value)) this.owed.add(value)
      },
      () => undefined,
    )
  }

  /** Reads a fact of the tick `sequence`. */
  read(frame: Buffer, at: number, sequence: number): void {
    const actor = readTarget(frame, at)
    const { value, sum, directory } = readAdded(frame, at)
    if (this.tick.sequence === sequence && this.tick.directory !== directory)
      this.fault(`tick ${sequence} was decided by the directory ${directory} and another one`)
    this.tick = { sequence, directory }
    const before = this.sums.get(actor) ?? 0
    if (sum !== before + value) this.fault(`a trial was ${before}, got ${value} and became ${sum}`)
    this.sums.set(actor, sum)
    if (value >= firstLetter) this.decided(value)
    this.written.add(value)
    this.owed.delete(value)
  }

  /** Reads letters of the ledger. */
  readLetters(data: Buffer): void {
    forEachEnvelope(data, 0, (at) => {
      const { to, bodyView } = readLetter(data, at)
      if (kindOfActor(to) !== ActorKindNumber.TRIAL) return
      const value = bodyView.readUInt32BE(0)
      this.told.set(value, (this.told.get(value) ?? 0) + 1)
    })
  }

  private decided(value: number): void {
    const left = (this.told.get(value) ?? 0) - 1
    if (left < 0) this.fault(`letter ${value} was decided twice, or never sent`)
    if (left <= 0) this.told.delete(value)
    else this.told.set(value, left)
  }

  /** Once all of the ledger has been read. */
  checkOwed(): void {
    for (const value of this.owed)
      this.fault(`${value} was acknowledged to a trial, and is not written`)
  }
}
