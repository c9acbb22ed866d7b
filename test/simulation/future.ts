/**
 * Some parties ask for a later time while everything goes wrong, and cancel that. By the facts in
 * the ledger: nothing is sent to its meter, or fails there, before its time has come, and a
 * cancellation never is.
 */
import type { DeviceFact } from '../../actors/device/facts.ts'
import { cancellationMs } from '../../core/access/future-dating.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { requestName } from './names.ts'

export class FutureRequests {
  private readonly fault: (what: string, request?: string) => void
  /** Execution time of each request that has one, UTC ms. */
  private readonly times = new Map<string, number>()
  private readonly come = new Set<string>()

  constructor(fault: (what: string, request?: string) => void) {
    this.fault = fault
  }

  hasTime(request: string): boolean {
    return this.times.has(request)
  }

  /** True for a request that cancels others. */
  cancels(request: string): boolean {
    return this.times.get(request) === cancellationMs
  }

  readDeviceFact(device: Eui64, fact: DeviceFact): void {
    if (fact.type === 'REQUEST_ACCEPTED') {
      const { originator, counter, future } = fact.request
      if (future !== undefined)
        this.times.set(requestName(originator, device, counter), future.executeAt)
    } else if (fact.type === 'EXECUTION_TIME_CAME') {
      const request = requestName(fact.originator, device, fact.counter)
      const executeAt = this.times.get(request)
      if (executeAt === undefined) this.fault('has no execution time', request)
      else if (fact.time < executeAt) this.fault('let go before its execution time', request)
      if (this.come.has(request)) this.fault('let go twice', request)
      this.come.add(request)
    }
  }

  /** A meter is asked. */
  sent(request: string): void {
    const executeAt = this.times.get(request)
    if (executeAt === undefined) return
    if (this.cancels(request)) this.fault('a cancellation was sent', request)
    else if (!this.come.has(request)) this.fault('sent before its execution time', request)
  }
}
