/**
 * Puts blocks together that stand in the APDUs of one conversation, for people: general blocks, and
 * those of GET, SET and ACTION.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { BlockControl } from '../../../core/dlms/apdu/general-block-transfer.ts'
import { decodeApdu, type Apdu } from '../../../core/dlms/apdu/codec.ts'

/** What blocks were: an APDU, or a value. */
export type GatheredBlocks = { octets: Buffer; text: string; isApdu: boolean }

type Block = { kind: string; number: number; isLast: boolean; view: Buffer }

export class BlockWatch {
  private readonly gaps: string[] = []
  private readonly kept = new Map<string, { next: number; parts: Buffer[]; bytes: number }>()

  /** What is missing, in words. */
  get notes(): string[] {
    const unfinished = Array.from(this.kept, ([key, { next }]) =>
      unfinishedText(next - 1, key.slice(0, key.lastIndexOf(' '))),
    )
    return [...new Set([...this.gaps, ...unfinished])]
  }

  /**
   * Takes the APDU `view`, of the sender `from`; what it completes, when it is more than a block.
   */
  add(view: Buffer, from: string): GatheredBlocks | undefined {
    const block = blockIn(view)
    if (block === undefined) return undefined
    const key = `${from} ${block.kind}`
    const begun = this.kept.get(key)
    if (block.number === 1 || begun?.next !== block.number) {
      this.kept.delete(key)
      if (block.number !== 1 && begun !== undefined)
        this.gaps.push(`block ${block.number} comes after block ${begun.next - 1}${ofSender(from)}`)
      else if (begun !== undefined) this.gaps.push(unfinishedText(begun.next - 1, from))
      else if (block.number !== 1)
        this.gaps.push(`block ${block.number} comes without those before it${ofSender(from)}`)
      // One block alone is explained where it stands; one without those before it explains nothing.
      if (block.number !== 1 || (block.isLast && block.kind === 'general')) return undefined
    }
    const gathering = this.kept.get(key) ?? { next: 1, parts: [], bytes: 0 }
    gathering.parts.push(Buffer.from(block.view))
    gathering.bytes += block.view.length
    gathering.next++
    if (gathering.bytes > limits.transferBytesMax || !block.isLast) {
      if (gathering.bytes <= limits.transferBytesMax) this.kept.set(key, gathering)
      return undefined
    }
    this.kept.delete(key)
    const octets = Buffer.concat(gathering.parts)
    return {
      octets,
      text: `${gathering.parts.length} blocks`,
      isApdu: block.kind === 'general',
    }
  }
}

const ofSender = (from: string): string => (from === '' ? '' : `, from ${from}`)
const unfinishedText = (number: number, from: string): string =>
  `nothing comes behind block ${number}, which is not the last${ofSender(from)}`

function blockIn(view: Buffer): Block | undefined {
  let apdu: Apdu
  try {
    apdu = decodeApdu(view, { isTolerant: true })
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return undefined
  }
  if (apdu.type === 'general-block-transfer') {
    if (apdu.blockDataView.length === 0) return undefined
    const isLast = (apdu.blockControl & BlockControl.LAST_BLOCK) !== 0
    return { kind: 'general', number: apdu.blockNumber, isLast, view: apdu.blockDataView }
  }
  const kind = apdu.type.slice(0, apdu.type.indexOf('-'))
  if ('datablock' in apdu) {
    const { datablock } = apdu
    const { lastBlock: isLast, blockNumber: number } = datablock
    if ('rawDataView' in datablock) return { kind, number, isLast, view: datablock.rawDataView }
    const { result } = datablock
    return 'rawDataView' in result ? { kind, number, isLast, view: result.rawDataView } : undefined
  }
  if ('pblock' in apdu) {
    const { lastBlock: isLast, blockNumber: number, rawDataView: raw } = apdu.pblock
    return { kind: apdu.type.includes('response') ? 'answer' : kind, number, isLast, view: raw }
  }
  return undefined
}
