/**
 * General block transfer: any APDU, protected ones too, in blocks, both ways at once, beside the
 * association.
 *
 *   E0 | control: last 1 bit, streaming 1 bit, window 6 bits | block-number u16 | block-number-ack u16 | length, octets
 *
 * The sender puts as many blocks on the way as the other's window takes; all but the last of a
 * window have the streaming bit. A block without it gives the turn to the other, who acknowledges
 * the last block that came in order; what comes behind a gap is dropped and sent again. A window of
 * ours that has come is acknowledged even when its last block has the streaming bit: such a side
 * may wait for that. Numbers begin at 1 with each request, each side counts its own, and an
 * acknowledgement without data takes a number too; one that is said again keeps it, so that no
 * number is ever missing. [IEC 62056-5-3, General-Block-Transfer]
 *
 * Sans-io: it keeps no time. Who waits in vain calls `remind`.
 */
import { emptyBytes } from '../../base/bytes.ts'
import { assert } from '../../base/assert.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { ApduTag } from '../apdu/constants.ts'
import { BlockControl } from '../apdu/general-block-transfer.ts'
import { lengthBytes, lengthBytesFor, readLength, writeLength } from '../axdr/layout.ts'
import { BlockGatherer } from './service-blocks.ts'
import { allocateApdu } from '../framing/wrapper.ts'

const { LAST_BLOCK, STREAMING, WINDOW_MASK } = BlockControl
// Tag, control, two numbers, and at most three octets of length.
const headBytesMax = 9
const numberMax = 0xffff

/**
 * What a received block means: an APDU is whole, something is to be sent, or the next block is to
 * be waited for.
 */
export type GeneralBlockStep = { apdu: Buffer } | { send: Buffer } | undefined

export class GeneralBlocks {
  private readonly windowOwn: number
  private readonly bytesMax: number
  private readonly isServer: boolean
  /** Blocks that the other side takes at once. */
  private windowOther = 1

  // What we send: the APDU, the number of its first block, and how it is cut.
  private outgoing: Buffer | undefined
  private firstNumber = 1
  private blockBytes = 1
  /**
   * The last number that we have used, and the last that we may use before the other has its turn.
   */
  private sentNumber = 0
  private turnNumber = 0
  private acknowledgedNumber = 0
  private resends = 0
  /** Of the other's blocks, the one that we acknowledged last. */
  private repliedNumber = -1

  // What we receive.
  private gatherer: BlockGatherer | undefined
  private receivedNumber = 0
  private isOver = true
  private hasData = false
  /**
   * The last block that we have acknowledged, and how many blocks have brought nothing since the
   * last that did.
   */
  private windowFrom = 0
  private uselessCount = 0
  /** Of the request that a server received last; owned. */
  private firstBlock: Buffer | undefined

  /**
   * @param windowOwn  blocks that we take at once, 1 to 63
   * @param isServer an acknowledgement of a server says that its answer is still to come, a
   * client's that nothing is
   * @param bytesMax   octets of an APDU that is received
   */
  constructor(windowOwn: number, isServer: boolean, bytesMax: number = limits.transferBytesMax) {
    assert(windowOwn >= 1 && windowOwn <= WINDOW_MASK, 'a window has 1 to 63 blocks')
    this.windowOwn = windowOwn
    this.isServer = isServer
    this.bytesMax = bytesMax
  }

  /** True from the first block of a transfer until it is over, either way. */
  get isUnderWay(): boolean {
    return this.outgoing !== undefined || this.gatherer !== undefined
  }

  /** Of the transfer towards us, the number of the last block that came in order. */
  get blocksReceived(): number {
    return this.receivedNumber
  }

  /** Forgets everything: the next request begins with number 1. */
  reset(): void {
    this.outgoing = undefined
    this.gatherer = undefined
    this.sentNumber = this.turnNumber = this.receivedNumber = 0
    this.acknowledgedNumber = this.resends = 0
    this.repliedNumber = -1
    this.hasData = false
    this.windowFrom = this.uselessCount = 0
    this.isOver = true
    this.firstBlock = undefined
  }

  /**
   * The first block of `apdu`, which is kept until the other has it all; `more` gives the rest of
   * the window. Owned, with spare octets in front.
   * @param pduBytesMax  what the other takes in one APDU
   * @throws BrokerError DLMS_SIZE_EXCEEDED when it takes more blocks than there are numbers
   */
  send(apdu: Buffer, pduBytesMax: number): Buffer {
    this.outgoing = apdu
    this.blockBytes = Math.max(1, pduBytesMax - headBytesMax)
    this.firstNumber = this.sentNumber + 1
    this.resends = 0
    const lastNumber = this.lastNumber
    if (lastNumber > numberMax)
      throw new BrokerError('DLMS_SIZE_EXCEEDED', `${apdu.length} octets in blocks`)
    this.turnNumber = Math.min(lastNumber, this.sentNumber + this.windowOther)
    return this.nextBlock()
  }

  /** The next block of the window, or undefined when it is the other's turn. */
  more(): Buffer | undefined {
    return this.outgoing !== undefined && this.sentNumber < this.turnNumber
      ? this.nextBlock()
      : undefined
  }

  /**
   * Takes one general-block-transfer APDU, borrowed for the call. A whole APDU is owned by the
   * caller.
   * @throws BrokerError DLMS_LENGTH_INVALID, DLMS_SIZE_EXCEEDED, DLMS_BLOCK_NUMBER_WRONG, and
   * DLMS_TRANSFER_ABORTED when the same blocks are asked for, or sent, again and again
   */
  receive(view: Buffer): GeneralBlockStep {
    if (view.length < 7)
      throw new BrokerError('DLMS_LENGTH_INVALID', `a general block of ${view.length} octets`)
    const control = view[1]!
    const number = view.readUInt16BE(2)
    const acknowledged = view.readUInt16BE(4)
    const count = readLength(view, 6)
    const from = 6 + lengthBytes(view, 6)
    if (from + count > view.length)
      throw new BrokerError('DLMS_LENGTH_INVALID', `general block ${number} at octet 6`)
    if (this.isServer && number === 1 && count > 0 && this.isOver) {
      // The request before once more, or a new one? A new one has another invoke id or counter in
      // its first octets.
      const first = view.subarray(from, from + count)
      if (this.firstBlock === undefined || !this.firstBlock.equals(first)) {
        this.reset()
        this.firstBlock = Buffer.from(first)
      }
    }
    this.windowOther = Math.max(1, control & WINDOW_MASK)
    if (count === 0) {
      // Outside a transfer a side only acknowledges: of lost ones nothing is missing but their
      // numbers.
      if (this.outgoing === undefined) this.countUseless(number)
      const isNext = number === this.receivedNumber + 1
      if (isNext || (number > this.receivedNumber && this.gatherer === undefined))
        this.receivedNumber = number
      return this.onAcknowledged(acknowledged, control)
    }
    return this.onData(view, { control, number, acknowledged, from, count })
  }

  /**
   * What to say when nothing has come for a while: the last block of ours again, or which blocks
   * are missing. Undefined when no transfer is under way.
   */
  remind(): Buffer | undefined {
    if (this.gatherer !== undefined) return this.acknowledge()
    if (this.outgoing === undefined) return undefined
    this.countResend()
    this.sentNumber--
    return this.nextBlock()
  }

  private onData(
    view: Buffer,
    block: { control: number; number: number; acknowledged: number; from: number; count: number },
  ): GeneralBlockStep {
    const { control, number, acknowledged, from, count } = block
    const isLast = (control & LAST_BLOCK) !== 0
    // Some do not count their acknowledgements: their data begins with 1 all the same.
    const isFirst = number === 1 && !this.hasData
    if (isFirst || number === this.receivedNumber + 1) {
      // Acknowledgements of ours took numbers, too.
      if (this.gatherer === undefined) this.windowFrom = number - 1
      this.gatherer ??= new BlockGatherer(this.bytesMax)
      this.hasData = true
      // Data from the other says that it has all of ours: it could not have answered otherwise.
      this.outgoing = undefined
      this.uselessCount = 0
      this.gatherer.append(view, from, count, isLast)
      this.receivedNumber = number
      this.isOver = false
      if (isLast) {
        const apdu = this.gatherer.take()
        this.gatherer = undefined
        this.isOver = true
        return { apdu }
      }
    } else {
      this.countUseless(number)
      // It was sent again because our answer to it was lost.
      if (number <= this.receivedNumber && this.gatherer === undefined)
        return this.onAcknowledged(acknowledged, control)
    }
    const isTurn = (control & STREAMING) === 0
    const isWindowFull = this.receivedNumber - this.windowFrom >= this.windowOwn
    return isTurn || isWindowFull ? { send: this.acknowledge() } : undefined
  }

  /** Blocks that were sent again are many when an acknowledgement was lost, but not without end. */
  private countUseless(number: number): void {
    if (++this.uselessCount > limits.generalBlocksUselessMax)
      throw new BrokerError(
        'DLMS_TRANSFER_ABORTED',
        `${this.uselessCount} general blocks in a row bring nothing new, the last with number ${number}; a device that floods may be asked without them: profile no-general-blocks`,
      )
  }

  private onAcknowledged(acknowledged: number, control: number): GeneralBlockStep {
    const { outgoing } = this
    if (outgoing === undefined) {
      // Somebody waits for what is under way towards us, or for nothing at all.
      return this.gatherer !== undefined && (control & STREAMING) === 0
        ? { send: this.acknowledge() }
        : undefined
    }
    if (acknowledged > this.sentNumber)
      throw new BrokerError(
        'DLMS_BLOCK_NUMBER_WRONG',
        `acknowledged ${acknowledged}, sent ${this.sentNumber}`,
      )
    if (acknowledged >= this.lastNumber) {
      this.outgoing = undefined
      return undefined
    }
    if (acknowledged > this.acknowledgedNumber) this.resends = 0
    else if (acknowledged < this.sentNumber) this.countResend()
    this.acknowledgedNumber = acknowledged
    this.sentNumber = Math.max(acknowledged, this.firstNumber - 1)
    this.turnNumber = Math.min(this.lastNumber, this.sentNumber + this.windowOther)
    return { send: this.nextBlock() }
  }

  private countResend(): void {
    if (++this.resends > limits.generalBlockResendsMax)
      throw new BrokerError(
        'DLMS_TRANSFER_ABORTED',
        `general block ${this.sentNumber} sent in vain`,
      )
  }

  private get lastNumber(): number {
    return this.firstNumber - 1 + Math.max(1, Math.ceil(this.outgoing!.length / this.blockBytes))
  }

  private nextBlock(): Buffer {
    const outgoing = this.outgoing!
    const number = ++this.sentNumber
    const start = (number - this.firstNumber) * this.blockBytes
    const dataView = outgoing.subarray(start, start + this.blockBytes)
    const isLast = number === this.lastNumber
    const isStreaming = number < this.turnNumber && !isLast
    return this.encode((isLast ? LAST_BLOCK : 0) | (isStreaming ? STREAMING : 0), number, dataView)
  }

  /** Without data. */
  private acknowledge(): Buffer {
    if (this.receivedNumber !== this.repliedNumber)
      this.sentNumber = Math.min(numberMax, this.sentNumber + 1)
    this.repliedNumber = this.windowFrom = this.receivedNumber
    return this.encode(this.isServer ? 0 : LAST_BLOCK, this.sentNumber, emptyBytes)
  }

  private encode(bits: number, number: number, dataView: Buffer): Buffer {
    const count = dataView.length
    const apdu = allocateApdu(6 + lengthBytesFor(count) + count)
    apdu[0] = ApduTag.GENERAL_BLOCK_TRANSFER
    apdu[1] = bits | this.windowOwn
    apdu.writeUInt16BE(number, 2)
    apdu.writeUInt16BE(this.receivedNumber, 4)
    dataView.copy(apdu, writeLength(apdu, 6, count))
    return apdu
  }
}
