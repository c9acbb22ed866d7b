/** An HDLC client and server with a line between them, whose weather a test makes. */
import { hdlcAddress } from '../../core/dlms/framing/hdlc/address.ts'
import { HdlcClient, type HdlcClientOptions } from '../../core/dlms/framing/hdlc/client.ts'
import type { HdlcStep } from '../../core/dlms/framing/hdlc/link-state.ts'
import { HdlcServer, type HdlcServerOptions } from '../../core/dlms/framing/hdlc/server.ts'
import type { HdlcServerLink } from '../../core/dlms/framing/hdlc/server-link.ts'

export const stations = { client: hdlcAddress(16), server: hdlcAddress(1, 17) }

/** What happens to a piece of the line: the octets that arrive, in chunks. */
export type Weather = (octets: Buffer) => Buffer[]
export const fine: Weather = (octets) => [octets]

/**
 * A client and a server with a line between them, and a clock that goes on when nothing else does.
 */
export class Wire {
  nowMs = 1_000
  readonly client: HdlcClient
  readonly server: HdlcServer
  readonly toClient: HdlcStep[] = []
  readonly toServer: HdlcStep[] = []
  link: HdlcServerLink | undefined
  weather: Weather = fine
  /** What the server does with an APDU. */
  onApdu: (apdu: Buffer, link: HdlcServerLink) => void = (apdu, link) => void link.send(apdu)
  constructor(
    ofClient: Partial<HdlcClientOptions> = {},
    ofServer: Partial<HdlcServerOptions> = {},
  ) {
    this.client = new HdlcClient({ ...stations, ...ofClient })
    this.server = new HdlcServer({ servers: [stations.server], ...ofServer })
  }

  /** Lets both act until neither has anything to do now. */
  settle(): void {
    this.drain()
    for (let turn = 0; this.line.server.length + this.line.client.length > 0; turn++) {
      if (turn > 100_000) throw new Error('the line never rests')
      const toServer = this.line.server.shift()
      if (toServer !== undefined) this.server.receive(toServer)
      else this.client.receive(this.line.client.shift()!, this.nowMs)
      this.drain()
    }
  }

  private readonly line: { client: Buffer[]; server: Buffer[] } = { client: [], server: [] }

  private drain(): void {
    for (let step; (step = this.client.next(this.nowMs)) !== undefined;) {
      if ('send' in step) this.line.server.push(...this.weather(step.send))
      else this.toClient.push(step)
    }
    for (let next; (next = this.server.next(this.nowMs)) !== undefined;) {
      const { step, link } = next
      if (link) this.link = link
      if ('send' in step) this.line.client.push(...this.weather(step.send))
      else this.toServer.push(step)
      if ('apdu' in step) this.onApdu(step.apdu, link!)
    }
  }

  /**
   * Settles, then lets time pass to the next moment at which somebody acts, until `isDone`; false
   * when nobody will act, or too long.
   */
  run(isDone: () => boolean, untilMs = this.nowMs + 600_000): boolean {
    for (;;) {
      this.settle()
      if (isDone()) return true
      const times = [this.client.actAtMs, this.server.actAtMs].filter((time) => time !== undefined)
      if (times.length === 0 || this.nowMs > untilMs) return false
      this.nowMs = Math.max(this.nowMs, Math.min(...times))
    }
  }

  connect(): void {
    this.client.connect(this.nowMs)
    this.run(() => this.client.state === 'IDLE')
  }

  /** APDUs that came to `side`. */
  apdus(side: 'toClient' | 'toServer'): string[] {
    return this[side].flatMap((step) => ('apdu' in step ? [step.apdu.toString('hex')] : []))
  }

  get end(): string | undefined {
    const step = this.toClient.findLast((step) => 'disconnected' in step)
    return step && 'disconnected' in step ? step.disconnected : undefined
  }
}
