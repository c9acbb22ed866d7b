/**
 * One device under test: feeds messages as the runtime does, and keeps what came out. A restart may
 * come at any place.
 */
import { emptyDirectory } from '../../core/access/directory.ts'
import { decide, evolve } from '../../actors/device/actor.ts'
import { deviceKind } from '../../actors/device/device-kind.ts'
import type { Acknowledge } from '../../actors/kind/effects.ts'
import type { DeviceOutbox } from '../../actors/device/effects.ts'
import type { DeviceFact } from '../../actors/device/facts.ts'
import { next, resume } from '../../actors/kind/messages.ts'
import { type DeviceMessage } from '../../actors/device/messages.ts'
import { emptyState, type DeviceState } from '../../actors/device/state.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { replay, throughStore } from './actor-trial.ts'
import { deviceKey, envelopeOf, registrationOf, type Wanted } from './envelopes.ts'

/** What it wants done, answers and wakes included. */
type DeviceEffect = DeviceOutbox['effects'][number]

export const lifeDevice = deviceKey(1)

export class DeviceLife {
  state: DeviceState = emptyState()
  now = 1_800_000_000_000
  /** Of the deployment. */
  format = 1
  readonly facts: DeviceFact[] = []
  /** RequestIDs as `originator+counter`, in the order in which they were sent to the device. */
  readonly sent: string[] = []

  constructor() {
    this.feed({ type: 'ARRIVED', buffer: registrationOf(lifeDevice), at: 0, replyTo: undefined })
  }

  feed(message: DeviceMessage): DeviceEffect[] {
    const effects: DeviceEffect[] = []
    for (let one: DeviceMessage | undefined = message; one !== undefined;) {
      const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
      decide(this.state, one, this.now, { ...emptyDirectory, format: this.format }, out)
      for (const fact of out.facts) evolve(this.state, fact)
      this.facts.push(...out.facts)
      effects.push(...out.effects)
      for (const effect of out.effects)
        if (effect.type === 'SEND')
          this.sent.push(effect.request.originator + effect.request.counter)
      one = out.facts.length > 0 && one.type !== 'NEXT' ? next : undefined
    }
    return effects
  }

  /** The acknowledgement of a request. */
  ask(wanted: Wanted): Acknowledge {
    const buffer = envelopeOf({ device: lifeDevice, deadline: this.now + 3_600_000, ...wanted })
    const effects = this.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
    const found = effects.find((effect): effect is Acknowledge => effect.type === 'ACKNOWLEDGE')
    if (found === undefined) throw new Error('not acknowledged')
    return found
  }

  submit(wanted: Wanted): ErrorCode | undefined {
    return errorCodeOf(this.ask(wanted).outcome)
  }

  /** The device answers what is on its way; false when nothing is. */
  answer(): boolean {
    const { sent } = this.state
    if (sent === undefined) return false
    const { originator, counter } = sent
    const outcome = errorId('OK')
    this.feed({ type: 'ANSWERED', originator, counter, outcome, bodyBytes: emptyBytes })
    return true
  }

  /** From the store, as after passivation or from a snapshot, or from the ledger alone. */
  restart(from: 'store' | 'ledger'): void {
    if (from === 'store') this.state = throughStore(deviceKind, this.state)
    else this.state = replay(deviceKind, lifeDevice, this.facts)
    this.feed(resume)
  }
}
