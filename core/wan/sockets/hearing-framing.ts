/**
 * A device that is only heard: M-Bus frames of a consumers' port behind a converter that dials in.
 * Nothing is asked of it, since nobody can answer there. Wrapper and HDLC frames between them are
 * heard, too.
 */
import { limits } from '../../base/limits.ts'
import { PushStream, type Heard } from '../../dlms/unsolicited/push-stream.ts'
import type { Around } from '../../dlms/unsolicited/push.ts'
import type { Framing, FramingEvents } from './framing.ts'
import { numberOfHdlc } from './hdlc-framing.ts'

const nothing = (): void => {}

export class HearingFraming implements Framing {
  readonly exchangesMax = 0
  /**
   * What has no length of its own ends when nothing has come for a while: looked at by `onTime`.
   */
  readonly keepsTime = true
  readonly endsAssociations = true
  readonly admit = (): boolean => false
  readonly awaitMore = nothing
  readonly send = nothing
  readonly leaveDevice = nothing
  private readonly events: FramingEvents
  private readonly stream: PushStream
  private heardMs = 0

  constructor(events: FramingEvents, { apduBytesMax }: { apduBytesMax: number }) {
    this.events = events
    this.stream = new PushStream(
      {
        octets: nothing,
        heard: (heard) => this.onHeard(heard),
        wrong: ({ code }, _, bytes) => this.events.dropped(code, bytes),
        send: (octets) => this.events.write(octets),
      },
      {
        apduBytesMax,
        blockBytesMax: limits.pushBytesMax,
        gatheringsMax: limits.pushGatheringsPerLinkMax,
      },
    )
  }

  receive(view: Buffer, nowMs: number): void {
    this.heardMs = nowMs
    this.stream.receive(view)
  }

  onTime(nowMs: number): void {
    if (this.stream.isWaiting && nowMs - this.heardMs >= limits.dialInPauseMs) this.stream.pause()
  }

  answerTo(): () => void {
    return nothing
  }

  leave(): void {
    this.stream.end()
  }

  private onHeard(heard: Heard): void {
    // A name between frames says nothing new: the connection has its names.
    if (!('apdu' in heard)) return
    const { device, client } = endsIn(heard.around)
    this.events.unsolicited(device, client, heard.apdu, nothing)
  }
}

function endsIn(around: Around): { device: number; client: number } {
  switch (around.framing) {
    case 'none':
      return { device: 1, client: 1 }
    case 'hdlc':
      return { device: numberOfHdlc(around.source), client: around.destination.upper }
    default:
      return { device: around.source, client: around.destination }
  }
}
