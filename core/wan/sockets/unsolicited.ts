/**
 * What devices say on a link without being asked: opened by the association that it came on, where
 * there is one and it is needed; general blocks put together; told to the link's owner with where
 * it came from. Counted, since a peer may flood.
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import { ApduTag } from '../../dlms/apdu/constants.ts'
import { isNotification } from '../../dlms/client/response.ts'
import type { GeneralBlockStep } from '../../dlms/transfer/general-blocks.ts'
import { confirmationOf } from '../../dlms/unsolicited/push.ts'
import { PushBlocks } from '../../dlms/unsolicited/push-blocks.ts'
import { readPushPayload } from '../../dlms/unsolicited/push-payload.ts'
import { allocateApdu } from '../../dlms/framing/wrapper.ts'
import type { DeviceAddress } from '../../ports/wan.ts'
import { keyOf, type Association } from './association.ts'
import type { Answer } from './framing.ts'
import type { LinkOwner } from './link-owner.ts'

/** What of its link this uses. */
export interface HeardLink {
  answer(apdu: Buffer, answer: Answer): void
  cut(reason: string, isNonsense: boolean): void
}

export class Unsolicited<Link extends HeardLink> {
  private readonly link: Link
  private readonly owner: LinkOwner<Link>
  private readonly associations: ReadonlyMap<number, Association>
  private blocks: PushBlocks<number> | undefined
  private count = 0
  private blocksHeard = 0
  private sinceMs = 0

  constructor(link: Link, owner: LinkOwner<Link>, associations: ReadonlyMap<number, Association>) {
    this.link = link
    this.owner = owner
    this.associations = associations
  }

  /** The device has said something that it was asked for. */
  forgive(): void {
    this.count = 0
  }

  /** One more that nobody has asked for; too many of them cut the link. */
  note(): void {
    const now = this.owner.nowMs()
    if (now - this.sinceMs > limits.wanUnsolicitedWindowMs) {
      this.sinceMs = now
      this.count = 0
    }
    if (++this.count > limits.wanUnsolicitedFramesMax)
      this.link.cut('flooded with frames nobody asked for', true)
  }

  /** Takes a payload, borrowed: an APDU as a rule, or several one behind the other. */
  receive(device: number, client: number, payloadView: Buffer, answer: Answer): void {
    const { apduViews, restView } = readPushPayload(payloadView)
    for (const apduView of apduViews) this.receiveApdu(device, client, apduView, answer)
    if (restView.length > 0) this.drop('DLMS_LENGTH_INVALID', restView.length)
  }

  private drop(code: ErrorCode, bytes: number): void {
    this.owner.refusedFrame(code, bytes)
    this.note()
  }

  private receiveApdu(device: number, client: number, apduView: Buffer, answer: Answer): void {
    if (apduView[0] === ApduTag.GENERAL_BLOCK_TRANSFER)
      return this.receiveBlock(device, client, apduView, answer)
    const association = this.associations.get(keyOf(device, client))
    let opened: Buffer | undefined
    try {
      // In the clear it is told as that, beside a protected association too: the device's record
      // says whether it may be.
      if (!isNotification(apduView)) opened = association?.dlms?.openUnasked(apduView)
    } catch (error) {
      return this.refuse(error, apduView.length)
    }
    this.tell(device, client, opened ?? apduView, opened !== undefined, answer)
  }

  private receiveBlock(device: number, client: number, view: Buffer, answer: Answer): void {
    this.blocks ??= new PushBlocks({
      sendersMax: limits.pushGatheringsPerLinkMax,
      bytesMax: limits.pushBytesMax,
    })
    let step: GeneralBlockStep
    try {
      step = this.blocks.receive(keyOf(device, client), view)
    } catch (error) {
      return this.refuse(error, view.length)
    }
    // Fewer of them make a push than there may be, but they cost something too.
    if (this.blocksHeard++ % limits.wanBlocksPerUnsolicitedFrame === 0) this.note()
    if (step === undefined) return
    if ('send' in step) this.link.answer(step.send, answer)
    // Blocks within blocks are none.
    else if (step.apdu[0] === ApduTag.GENERAL_BLOCK_TRANSFER)
      this.drop('DLMS_NESTING_EXCEEDED', step.apdu.length)
    else this.receive(device, client, step.apdu, answer)
  }

  private refuse(error: unknown, bytes: number): void {
    if (!(error instanceof BrokerError)) throw error
    this.drop(error.code, bytes)
  }

  /** `isOpened`: the association has opened `apduView`. */
  tell(device: number, client: number, apduView: Buffer, isOpened: boolean, answer: Answer): void {
    const association = this.associations.get(keyOf(device, client))
    const opened = isOpened ? association?.receivedProtection : undefined
    const { protection = 0, counter } = opened ?? {}
    const from = { logicalDevice: device, client, protection, counter }
    const confirm = protection === 0 ? this.confirmer(apduView, answer) : undefined
    const of = association?.deviceKey ?? this.deviceAt(device)
    this.owner.unsolicited(this.link, { ...from, device: of, confirm }, apduView)
    this.note()
  }

  /**
   * Confirms, when the notification asks for it. What was protected would have to be confirmed
   * under a counter that nobody has reserved.
   */
  private confirmer(apduView: Buffer, answer: Answer): (() => void) | undefined {
    const confirmation = isNotification(apduView) ? confirmationIn(apduView) : undefined
    if (confirmation === undefined) return undefined
    return () => {
      const apdu = allocateApdu(confirmation.length)
      confirmation.copy(apdu)
      this.link.answer(apdu, answer)
    }
  }

  /** Whose the logical device is, whichever client has asked it. */
  private deviceAt(logicalDevice: number): DeviceAddress['device'] {
    for (const association of this.associations.values())
      if (association.device === logicalDevice && association.deviceKey !== undefined)
        return association.deviceKey
    return undefined
  }
}

/** As `confirmationOf`; of what cannot be read, none. */
export function confirmationIn(apduView: Buffer): Buffer | undefined {
  try {
    return confirmationOf(apduView)
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}
