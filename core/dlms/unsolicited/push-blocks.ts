/**
 * General blocks of unsolicited messages, put together by sender. Bounded; of too many senders one
 * that has nothing under way gives way. Sans-io.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { BlockControl } from '../apdu/general-block-transfer.ts'
import { GeneralBlocks, type GeneralBlockStep } from '../transfer/general-blocks.ts'

/** Blocks that we take at once. */
const window = 8
const blockNumberAt = 2

export class PushBlocks<Sender> {
  private readonly sendersMax: number
  private readonly bytesMax: number
  private readonly senders = new Map<Sender, GeneralBlocks>()

  /** @param bytesMax  octets of one APDU */
  constructor({
    sendersMax = limits.pushGatheringsMax,
    bytesMax = limits.transferBytesMax,
  }: { sendersMax?: number; bytesMax?: number } = {}) {
    this.sendersMax = sendersMax
    this.bytesMax = bytesMax
  }

  /**
   * Takes one general-block-transfer APDU, borrowed: gives the whole APDU, owned, or what is to be
   * sent back, or undefined while more is to come. @throws BrokerError those of
   * `GeneralBlocks.receive`; the transfer is forgotten
   */
  receive(sender: Sender, view: Buffer): GeneralBlockStep {
    const blocks = this.blocksOf(sender)
    // Each transfer counts from one, and so does one that is begun again.
    if (view.length > blockNumberAt + 1 && view.readUInt16BE(blockNumberAt) === 1) {
      blocks.reset()
      this.senders.delete(sender)
      this.senders.set(sender, blocks)
    }
    const { blocksReceived } = blocks
    try {
      const step = blocks.receive(view)
      // A window of 0 wants no acknowledgement: nothing can be asked for again.
      const isOneWay = (view[1]! & BlockControl.WINDOW_MASK) === 0
      if (!isOneWay || (step !== undefined && 'apdu' in step)) return step
      if (blocks.blocksReceived === blocksReceived)
        throw new BrokerError(
          'DLMS_BLOCK_NUMBER_WRONG',
          `general block ${view.readUInt16BE(blockNumberAt)} after block ${blocksReceived}`,
        )
      return undefined
    } catch (fault) {
      if (fault instanceof BrokerError) this.senders.delete(sender)
      throw fault
    }
  }

  /** Senders of whom more is to come. */
  get unfinished(): Sender[] {
    return [...this.senders].flatMap(([sender, { isUnderWay }]) => (isUnderWay ? [sender] : []))
  }

  /** Who has sent all that he began, else who began first. */
  private leastUseful(): Sender {
    for (const [sender, { isUnderWay }] of this.senders) if (!isUnderWay) return sender
    return this.senders.keys().next().value!
  }

  private blocksOf(sender: Sender): GeneralBlocks {
    const known = this.senders.get(sender)
    if (known !== undefined) return known
    if (this.senders.size >= this.sendersMax) this.senders.delete(this.leastUseful())
    const blocks = new GeneralBlocks(window, false, this.bytesMax)
    this.senders.set(sender, blocks)
    return blocks
  }
}
