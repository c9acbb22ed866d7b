/**
 * Some parties have schedules while everything goes wrong. By the facts in the ledger: the number
 * of the next run only rises, each run that was made was accepted or refused by its device once,
 * and in the end nothing that is due is left.
 */
import { readFact } from '../../actors/schedule/facts.ts'
import { plannedOf, type Planned } from '../../actors/schedule/state.ts'
import type { DeviceFact } from '../../actors/device/facts.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { formatSrv } from '../../core/base/srv.ts'
import { readTarget } from '../../core/envelope/envelope.ts'
import { counterOfRun } from '../../core/schedule/run-counter.ts'
import { ReadPeriod } from '../../proto/gen/busbar/v1/service_request.ts'
import { requestName } from './names.ts'

export class Schedules {
  private readonly fault: (what: string, request?: string) => void
  /** By device and number; those that have ended are left out. */
  private readonly live = new Map<string, Planned>()
  /** How often the device has decided about a run, by its request. */
  private readonly decided = new Map<string, number>()
  private readonly made = new Set<string>()
  private readonly aboutSchedules = new Set<string>()
  /** The request of a run, by the end of the period that it reads, UTC ms. */
  private readonly byPeriod = new Map<number, string>()

  constructor(fault: (what: string, request?: string) => void) {
    this.fault = fault
  }

  /** True for a request that no meter carries out. */
  isAbout(request: string): boolean {
    return this.aboutSchedules.has(request)
  }

  /** The run that asks for a period with this end, UTC ms. */
  runWith(endMs: number): string | undefined {
    return this.byPeriod.get(endMs)
  }

  readScheduleFact(frame: Buffer, at: number): void {
    const device = readTarget(frame, at)
    const fact = readFact(frame, at)
    if (fact.type === 'SCHEDULES_CHANGED') {
      for (const id of fact.ended) this.live.delete(`${device}/${id}`)
      if (fact.created === undefined) return
      const { schedule, offset } = fact.created
      this.live.set(`${device}/${schedule.id}`, plannedOf(schedule, offset))
      return
    }
    const key = `${device}/${fact.id}`
    const before = this.live.get(key)
    if (before === undefined) return this.fault(`a run of schedule ${key}, which is not there`)
    const after = fact.next ?? before.next + fact.missed + Number(fact.made !== undefined)
    if (after !== before.next + fact.missed + Number(fact.made !== undefined))
      this.fault(
        `runs of schedule ${fact.id} from ${before.next} to ${after} are not accounted for`,
      )
    if (fact.made !== undefined) {
      const run = requestName(before.party, device, counterOfRun(fact.id, fact.made))
      if (this.made.has(run)) this.fault('a run was made twice', run)
      this.made.add(run)
    }
    if (fact.next === undefined) this.live.delete(key)
    else this.live.set(key, plannedOf({ ...before, next: fact.next }, before.offset))
  }

  readDeviceFact(device: Eui64, fact: DeviceFact): void {
    if (fact.type === 'REQUEST_ACCEPTED') {
      const { request } = fact
      const name = requestName(request.originator, device, request.counter)
      if (formatSrv(request.srv).startsWith('5.')) this.aboutSchedules.add(name)
      if (request.run === undefined) return
      const { endTime } = ReadPeriod.decode(request.bodyBytes)
      this.byPeriod.set(endTime!.getTime(), name)
      this.decide(name)
    } else if (fact.type === 'SCHEDULED_RUN_REFUSED')
      this.decide(requestName(fact.originator, device, fact.counter))
  }

  private decide(run: string): void {
    if (!this.made.has(run)) this.fault('a run was decided that nobody has made', run)
    this.decided.set(run, (this.decided.get(run) ?? 0) + 1)
  }

  /** To be called when all is over, at `nowMs`, UTC. */
  checkMade(nowMs: number): void {
    for (const run of this.made) {
      const count = this.decided.get(run) ?? 0
      if (count !== 1) this.fault(`a run was decided ${count} times`, run)
    }
    for (const [key, { dueMs }] of this.live)
      if (dueMs < nowMs - 60_000) this.fault(`the run of schedule ${key} is due and was not made`)
  }
}
