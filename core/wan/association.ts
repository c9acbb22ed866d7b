/**
 * One client address at one logical device behind a link, and which of its answers nobody waits for any more.
 *
 * The wrapper has no ids, so after a time-out an answer may still come and must not be taken for the next question's. What
 * was given up is remembered by its invoke id, and the association that follows goes on counting from there: an answer with a
 * given-up id is late, in whatever order the device, or a hub before it, sends. Ids have four bits: one is
 * forgotten when the count comes round to it, fifteen services later. AAREs have no id but are all alike: as many
 * as were given up are dropped where none is expected.
 */
import { ApduTag, invokeIdMask } from '../dlms/apdu.ts'
import { DlmsClient } from '../dlms/client.ts'
import type { Exchange } from './exchange.ts'

export class Association {
  /** Wrapper ports. */
  readonly device: number
  readonly client: number
  /** Absent before the first exchange and after anything that leaves it in doubt. */
  dlms: DlmsClient | undefined
  exchange: Exchange | undefined
  /** Exchanges that came while another was under way; callers see to it that there are none. */
  waiting: Exchange[] | undefined
  // One bit for each invoke id whose answer was given up on.
  private lateInvokeIds = 0
  private lateAares = 0
  private invokeIdLast = 0

  constructor(device: number, client: number) {
    this.device = device
    this.client = client
  }

  /** The association to go on with, made anew when there is none. Keeps `secret`. */
  dlmsFor(secret: Uint8Array | undefined, apduBytesMax: number): DlmsClient {
    const { invokeIdLast } = this
    return (this.dlms ??= new DlmsClient({ secret, apduBytesMax, invokeIdLast }))
  }

  /** True when an answer to something given up may still come. */
  get isInDoubt(): boolean {
    return this.lateInvokeIds !== 0 || this.lateAares !== 0
  }

  /** To be called for each service sent: its invoke id is the newest question's now. */
  noteSent(): void {
    if (this.lateInvokeIds !== 0) this.lateInvokeIds &= ~(1 << this.dlms!.invokeIdLast)
  }

  /** Forgets the association in the middle of an exchange, whose answer is late from now on. */
  giveUp(isServiceSent: boolean): void {
    const { dlms } = this
    if (!dlms) return
    this.invokeIdLast = dlms.invokeIdLast
    if (isServiceSent) this.lateInvokeIds |= 1 << this.invokeIdLast
    else this.lateAares++
    this.dlms = undefined
  }

  /** Forgets a refused association: the device has answered. */
  forget(): void {
    if (this.dlms) this.invokeIdLast = this.dlms.invokeIdLast
    this.dlms = undefined
  }

  /** True when this answers something given up, which is counted off: drop it. */
  takeLate(apduView: Buffer): boolean {
    if (!this.isInDoubt) return false
    switch (apduView[0]) {
      case ApduTag.GET_RESPONSE:
      case ApduTag.SET_RESPONSE:
      case ApduTag.ACTION_RESPONSE: {
        const bit = 1 << ((apduView[2] ?? 0) & invokeIdMask)
        if ((this.lateInvokeIds & bit) === 0) return false
        this.lateInvokeIds &= ~bit
        return true
      }
      case ApduTag.AARE:
        if (this.lateAares === 0 || this.dlms?.state === 'ASSOCIATING') return false
        this.lateAares--
        return true
      default:
        return false
    }
  }
}
