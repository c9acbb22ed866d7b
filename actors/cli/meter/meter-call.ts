/**
 * A person's connection to one meter, opened again when the meter has closed it or another one is
 * wanted.
 */
import type { MeterPlace } from './meter-line.ts'
import { MeterSession, type SessionEvents } from './meter-session.ts'

export class MeterCall {
  private readonly place: MeterPlace
  private readonly events: SessionEvents
  private open: MeterSession | undefined
  /** True while the connection is one that the public client has had. */
  isShared = false

  constructor(place: MeterPlace, events: SessionEvents) {
    this.place = place
    this.events = events
  }

  /** The connection that is open, or a new one. @throws BrokerError DEVICE_UNREACHABLE */
  async session(): Promise<MeterSession> {
    if (this.open?.isOver === true) await this.hangUp()
    this.open ??= await MeterSession.open(this.place, this.events)
    return this.open
  }

  /** Takes leave, and closes. */
  async hangUp(): Promise<void> {
    const { open } = this
    this.open = undefined
    this.isShared = false
    await open?.close()
  }
}
