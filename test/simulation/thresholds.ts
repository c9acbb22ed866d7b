/**
 * Some parties are counted while everything goes wrong, and operators release and delete what is in
 * quarantine. By the facts in the ledger: never more than a threshold passes in a window, nothing
 * is carried out that did not pass and was not released, and the lists are what is in quarantine.
 */
import type { DeviceFact } from '../../actors/device/facts.ts'
import { readFact as readPageFact } from '../../actors/quarantine-page/facts.ts'
import { readFact as readThresholdFact } from '../../actors/threshold/facts.ts'
import { askActors, type ActorMailPorts } from '../../core/bus/actor-mail.ts'
import {
  QuarantineReason,
  type CountedRequest,
  type CountLetter,
} from '../../core/access/count-letters.ts'
import { QuarantineAction, quarantineActionBody } from '../../core/access/quarantine-list.ts'
import { allParties, encodeThresholds, windowAt } from '../../core/access/thresholds.ts'
import { numberOfCounter } from '../../core/base/counter.ts'
import { bytesOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { readTarget } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import type { Chance } from './faults.ts'
import { partyOf, requestName } from './names.ts'

/** The party that is counted, and how many of it pass in an hour. */
const countedNumber = 1
const lets = 8
const letsAll = 30

type Count = { lets: number; window: number; passed: Map<string, number> }
type Held = { phase: 'counting' | 'quarantined' | 'free'; request: Omit<CountedRequest, 'srv'> }

export class Thresholds {
  private readonly fault: (what: string, request?: string) => void
  private readonly counts = new Map<Eui64, Count>()
  /** By name, what has passed at each of the actors that count it. */
  private readonly passed = new Map<string, Set<Eui64>>()
  private readonly held = new Map<string, Held>()
  private readonly listed = new Set<string>()
  private readonly busy = new Set<string>()
  isChosen = false

  constructor(fault: (what: string, request?: string) => void) {
    this.fault = fault
  }

  /** Parties whose requests are counted keep their order for themselves. */
  isCounted(party: number): boolean {
    return this.counts.has(allParties) || this.counts.has(partyOf(party).id)
  }

  /** In some lives parties are counted. */
  choose(draw: Chance): void {
    this.isChosen = draw.is(0.4)
  }

  /** Sets the thresholds. */
  async begin(draw: Chance, ports: ActorMailPorts): Promise<void> {
    await this.set(partyOf(countedNumber).id, lets, ports)
    if (draw.is(0.3)) await this.set(allParties, letsAll, ports)
  }

  private async set(target: Eui64, quarantine: number, ports: ActorMailPorts): Promise<void> {
    const thresholds = [{ srv: 0 as const, hours: 1, warning: 0, quarantine }]
    const record = { file: 1, fileHash: '00'.repeat(32), changedAtMs: 0, by: 'an operator' }
    const bodyBytes = encodeThresholds({ ...record, thresholds, valueLimits: [] })
    await askActors([{ kind: Kind.THRESHOLDS_CHANGE, target, bodyBytes }], ports)
  }

  /** An operator decides about some of what is in quarantine; about all of it in the end. */
  resolve(draw: Chance | undefined, ports: ActorMailPorts): string | undefined {
    const waiting = [...this.held].filter(
      ([name, { phase }]) => phase === 'quarantined' && !this.busy.has(name),
    )
    const chosen =
      draw === undefined ? waiting[0] : draw.is(0.3) && waiting.length > 0 && draw.oneOf(waiting)
    if (!chosen) return undefined
    const [name, { request }] = chosen
    const isRelease = draw === undefined || draw.is(0.7)
    const action = isRelease ? QuarantineAction.RELEASE : QuarantineAction.DELETE
    const question = {
      kind: Kind.QUARANTINE_ACTION,
      target: request.device,
      originator: bytesOfEui64(request.originator),
      counter: numberOfCounter(request.counter),
      bodyBytes: quarantineActionBody(action, 'an operator'),
    }
    this.busy.add(name)
    void askActors([question], ports).then(() => this.busy.delete(name))
    return `the operator ${isRelease ? 'releases' : 'deletes'} ${name}`
  }

  readThresholdFact(frame: Buffer, at: number): void {
    const fact = readThresholdFact(frame, at)
    const actor = readTarget(frame, at)
    if (fact.type === 'THRESHOLDS_SET') {
      const [threshold] = fact.record.thresholds
      this.counts.set(actor, { lets: threshold!.quarantine, window: -1, passed: new Map() })
    } else if (fact.type === 'REQUEST_COUNTED') this.counted(actor, fact.counted, fact.time)
  }

  private counted(actor: Eui64, counted: CountLetter, atMs: number): void {
    const count = this.counts.get(actor)
    const { originator, device, counter, word, reason } = counted
    const name = requestName(originator, device, counter)
    if (word === 'PASSED') {
      const at = this.passed.get(name) ?? new Set()
      if (at.has(actor)) this.fault('counted twice', name)
      this.passed.set(name, at.add(actor))
      if (count === undefined) return
      const window = windowAt(1, atMs)
      if (window > count.window) {
        count.window = window
        count.passed.clear()
      }
      count.passed.set(name, atMs)
      if (count.passed.size > count.lets) this.fault('more passes than the threshold lets', name)
    } else if (reason === QuarantineReason.ALL_PARTIES) count?.passed.delete(name)
  }

  readPageFact(frame: Buffer, at: number): void {
    const { originator, event, word } = readPageFact(frame, at).listed
    const entry = `${partyNumberOf(originator)} as ${event}`
    if (word === 'LISTED') this.listed.add(entry)
    else this.listed.delete(entry)
  }

  readDeviceFact(device: Eui64, fact: DeviceFact): void {
    if (fact.type === 'REQUEST_HELD') {
      const { originator, counter, phase, event } = fact
      const request = { originator, device, counter }
      const name = requestName(originator, device, counter)
      // One that had ended when its count came back.
      if (!this.held.has(name) && phase !== 'counting') return
      this.held.set(name, { phase, request })
      if (phase === 'quarantined') this.events.set(name, `${partyNumberOf(originator)} as ${event}`)
      else if (phase === 'free') {
        if (!this.events.delete(name)) this.hasPassed(name, originator)
        else this.onReleased(name)
      }
    } else if (fact.type === 'REQUEST_ENDED' || fact.type === 'REQUEST_PARKED') {
      const name = requestName(fact.originator, device, fact.counter)
      const known = this.held.get(name)
      if (known !== undefined && known.phase !== 'free' && fact.outcome === 0)
        this.fault('carried out although it was held back', name)
      this.held.delete(name)
      this.events.delete(name)
    }
  }

  /** Called with a request that goes to the end of its lane. */
  onReleased: (name: string) => void = () => undefined

  /** Of what is in quarantine: party and event, as the lists have it. */
  private readonly events = new Map<string, string>()

  private hasPassed(name: string, originator: Eui64): void {
    const at = this.passed.get(name)
    for (const actor of [originator, allParties])
      if (this.counts.has(actor) && at?.has(actor) !== true)
        this.fault('goes on although it has not passed', name)
  }

  /** What is still to be done before all is at rest. */
  left(): string[] {
    const left = [...this.held]
      .filter(([, { phase }]) => phase !== 'free')
      .map(([name, { phase }]) => `${name} is ${phase}`)
    if ([...this.listed].sort().join() !== [...this.events.values()].sort().join())
      left.push(
        `listed: ${[...this.listed].join()}; in quarantine: ${[...this.events.values()].join()}`,
      )
    return left
  }
}

const partyNumberOf = (party: Eui64): number => party.charCodeAt(5)
