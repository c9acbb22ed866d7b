/**
 * `busbar dlms decode`: what octets mean that go between a head-end and a meter, field by field.
 * Takes APDUs, wrapper frames and HDLC frames, one or many, also as `busbar meter --hex` shows
 * them, and COSEM data by itself; opens what is ciphered when it is given the keys. It prints
 * secrets that are in the octets: for people who have them anyway.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { anyApdu, decodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { Reader } from '../../../core/dlms/apdu/grammar.ts'
import { skipValue } from '../../../core/dlms/axdr/axdr.ts'
import {
  explain,
  explainData,
  explanationLines,
  type ExplainedField,
} from '../../../core/dlms/explain.ts'
import { textOfAddress } from '../../../core/dlms/framing/hdlc/address.ts'
import { flagOctet, type HdlcFrame } from '../../../core/dlms/framing/hdlc/frame.ts'
import { behindLlc, SegmentGatherer } from '../../../core/dlms/framing/hdlc/transfer.ts'
import {
  MbusGatherer,
  mbusBytesAt,
  mbusDamageBytes,
  readMbusFrame,
} from '../../../core/dlms/framing/mbus.ts'
import { readPushPayload } from '../../../core/dlms/unsolicited/push-payload.ts'
import { wrapperHeaderBytes } from '../../../core/dlms/framing/wrapper.ts'
import { BlockWatch } from './dlms-blocks.ts'
import { hdlcPieceAt, leaf } from './dlms-hdlc.ts'
import { DlmsOpening, type OpeningKeys } from './dlms-opening.ts'
import { hexIn } from './hex-digits.ts'
import { octetsInText, type HexFault, type HexLine, type HexText } from './log-octets.ts'

/** Texts of the command line. */
export type DecodeOptions = OpeningKeys & {
  json?: boolean | undefined
  /** Long octets as they are. */
  full?: boolean | undefined
}

/**
 * Explains `text`; lines for people, or one line of JSON. @throws BrokerError DLMS_VALUE_INVALID
 * for text that is not hexadecimal; CONFIG_INVALID for an invalid key or title; DLMS_SIZE_EXCEEDED
 */
export function decodeLines(text: string, options: DecodeOptions): string[] {
  const { fields, notes } = explainText(text, options)
  if (options.json === true) return [JSON.stringify({ fields, notes })]
  const lines = fields.flatMap((one) => explanationLines(one))
  return [
    ...(options.full === true ? lines : lines.map(shortened)),
    ...notes.map((note) => `note: ${note}`),
  ]
}

const shownDigits = 128

/** Octets in a line up to so many, and how many there are. */
const shortened = (line: string): string =>
  line.replaceAll(
    /[0-9a-f]{140,}/g,
    (digits) => `${digits.slice(0, shownDigits)}… (${digits.length / 2} octets, --full shows them)`,
  )

type Explained = { fields: ExplainedField[]; notes: string[] }

function explainText(text: string, options: DecodeOptions): Explained {
  const { lines, faults } = linesIn(text)
  const octets = Buffer.concat(lines.map((line) => line.octets))
  if (octets.length === 0)
    throw new BrokerError(
      'DLMS_VALUE_INVALID',
      `what is to be decoded must be pairs of hexadecimal digits, or a file with them${faults.map((fault) => `; ${placeOf(fault)}`).join('')}`,
    )
  if (octets.length > limits.decodeBytesMax)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', `${octets.length} octets to decode`)
  // Octets may be broken over lines, or each line may be an APDU of its own; nothing goes on behind
  // a fault.
  const ways = [recordsIn(lines), lines.map((line) => line.octets)]
  if (faults.length === 0) ways.unshift([octets])
  const explained = nearest(ways, options, faults.length > 0)
  return { ...explained, notes: [...faults.map(faultText), ...explained.notes] }
}

/** A pair may be broken over two lines where there is nothing but digits. */
function linesIn(text: string): HexText {
  const found = octetsInText(text)
  const octets = found.faults.length > 0 ? hexIn(text) : undefined
  return octets === undefined ? found : { lines: [{ octets, isBegun: false }], faults: [] }
}

/**
 * The first way to cut the octets of which nothing is unreadable, else the one of which the least
 * is.
 */
function nearest(ways: readonly Buffer[][], options: DecodeOptions, isCut: boolean): Explained {
  let best: Explained | undefined
  let wrong = Infinity
  let cuts = -1
  for (const pieces of ways) {
    if (pieces.length === cuts) continue
    cuts = pieces.length
    const explained = explainOctets(pieces, options, isCut)
    const share = unreadables(explained)
    if (share < wrong) [best, wrong] = [explained, share]
    if (wrong === 0) break
  }
  return best!
}

/** Lines that go on what a line with a prefix has begun belong to it. */
function recordsIn(lines: readonly HexLine[]): Buffer[] {
  const records: Buffer[][] = []
  for (const { octets, isBegun } of lines) {
    if (isBegun || records.length === 0) records.push([octets])
    else records.at(-1)!.push(octets)
  }
  return records.map((parts) => Buffer.concat(parts)).filter(({ length }) => length > 0)
}

const placeOf = ({ line, column, octet, text }: HexFault): string =>
  `line ${line}, column ${column}, behind octet ${octet}: ${JSON.stringify(text)} is no pair of hexadecimal digits`

const faultText = (fault: HexFault): string =>
  `${placeOf(fault)}; what stands behind it there is not decoded`

const unreadables = ({ fields }: Explained): number =>
  // The more pieces, the more may be unreadable: what counts is the share.
  fields.filter(isUnreadable).length / fields.length

const isUnreadable = ({ name, children }: ExplainedField): boolean =>
  name === 'unreadable' ||
  name === 'trailing-octets' ||
  children.some((child) => child.name !== 'plaintext' && isUnreadable(child))

function explainOctets(
  pieces: readonly Buffer[],
  options: DecodeOptions,
  isCut: boolean,
): Explained {
  const decoder = new Decoder(options, isCut)
  const fields = pieces.flatMap((octets) => decoder.decode(octets))
  return { fields, notes: [...decoder.opening.notes, ...decoder.blocks.notes] }
}

/** Remembers of what it has seen what explains the rest: titles, keys, segments and blocks. */
class Decoder {
  readonly opening: DlmsOpening
  readonly blocks = new BlockWatch()
  private readonly isCut: boolean
  private readonly mbus = new MbusGatherer()
  private readonly gatherers = new Map<string, SegmentGatherer>()

  /** @param isCut  octets are missing: what is left of an APDU is not data */
  constructor(options: OpeningKeys, isCut: boolean) {
    this.opening = new DlmsOpening(options)
    this.isCut = isCut
  }

  decode(octets: Buffer): ExplainedField[] {
    const fields: ExplainedField[] = []
    let at = 0
    while (at < octets.length) {
      // Between frames of a line there is noise.
      const isNoise =
        fields.at(-1)?.name === 'hdlc-frame' &&
        octets[at] !== flagOctet &&
        !this.isReadable(octets, at)
      const { field, end } = isNoise ? hdlcPieceAt(octets, at) : this.next(octets, at)
      if (field !== undefined) fields.push(field)
      at = end
    }
    return fields
  }

  private next(octets: Buffer, at: number): { field: ExplainedField | undefined; end: number } {
    if (octets[at] === flagOctet) {
      // One flag may close a frame and open the next; a line may idle with them.
      if (at + 1 === octets.length && at > 0) return { field: undefined, end: at + 1 }
      if (octets[at + 1] === flagOctet) return { field: undefined, end: at + 1 }
      const { field, frame, end } = hdlcPieceAt(octets, at)
      if (frame !== undefined) this.addContent(field, frame)
      const isShared =
        octets[end] !== flagOctet && end < octets.length && (octets[end]! & 0xf0) === 0xa0
      return { field, end: isShared ? end - 1 : end }
    }
    const wrapped = wrapperBytesAt(octets, at)
    if (wrapped > 0) {
      const from = String(octets.readUInt16BE(at + 2))
      return { field: this.apdu(octets, at, at + wrapped, from), end: at + wrapped }
    }
    const mbusEnd = mbusEndAt(octets, at)
    if (mbusEnd > at) return { field: this.mbusFrame(octets, at, mbusEnd), end: mbusEnd }
    const llcBytes = llcBytesAt(octets, at)
    if (llcBytes > 0)
      return {
        field: leaf('llc', octets.toString('hex', at, at + llcBytes), at, llcBytes),
        end: at + llcBytes,
      }
    const end = endOfApdu(octets, at)
    const isOther = end < octets.length && !this.isReadable(octets, end)
    // What stands behind and is nothing by itself belongs to it, or to nobody.
    const until = isOther ? octets.length : end
    return { field: this.apdu(octets, at, until, ''), end: until }
  }

  private isReadable(octets: Buffer, at: number): boolean {
    return (
      octets[at] === flagOctet ||
      wrapperBytesAt(octets, at) > 0 ||
      mbusEndAt(octets, at) > at ||
      llcBytesAt(octets, at) > 0 ||
      isApdu(octets, at)
    )
  }

  /** The APDUs of a payload, from `at` to `end`, with the LLC headers between them. */
  private payload(octets: Buffer, at: number, end: number, from: string): ExplainedField[] {
    const { apduViews, restView } = readPushPayload(octets.subarray(at, end))
    const fields: ExplainedField[] = []
    let behind = at
    for (const [index, view] of apduViews.entries()) {
      const apduAt = view.byteOffset - octets.byteOffset
      if (apduAt > behind)
        fields.push(leaf('llc', octets.toString('hex', behind, apduAt), behind, apduAt - behind))
      // What cannot be read behind the last one is shown with it.
      const isLast = index === apduViews.length - 1
      behind = apduAt + view.length + (isLast ? restView.length : 0)
      fields.push(this.apdu(octets, apduAt, behind, from))
    }
    return fields
  }

  /** The APDU, or the wrapper frame, or the data, from `at` to `end`. */
  private apdu(octets: Buffer, at: number, end: number, from: string): ExplainedField {
    const view = octets.subarray(at, end)
    const isWrapped = wrapperBytesAt(view, 0) > 0
    const contentAt = isWrapped ? wrapperHeaderBytes : 0
    const apduView = view.subarray(contentAt)
    if (isWrapped && readPushPayload(apduView).apduViews.length > 1) {
      const frame = explain(view)
      frame.children.splice(-1, 1, ...this.payload(view, contentAt, view.length, from))
      return shifted(frame, at)
    }
    let opened: Buffer | undefined
    let field = explain(view, {
      decipher: (envelope, carrier) => {
        const plaintext = this.opening.open(envelope, carrier)
        opened = plaintext?.view
        return plaintext
      },
    })
    const content = isWrapped ? field.children.at(-1)! : field
    if (content.children.some(({ name }) => name === 'unreadable'))
      field = (this.isCut ? undefined : dataIn(view)) ?? field
    else {
      this.opening.learn(apduView)
      const whole = this.blocks.add(opened ?? apduView, from)
      if (whole !== undefined) {
        const inner = whole.isApdu
          ? this.payload(whole.octets, 0, whole.octets.length, from)
          : [
              dataIn(whole.octets) ??
                leaf('octets', whole.octets.toString('hex'), 0, whole.octets.length),
            ]
        field.children.push({
          ...leaf('gathered', whole.text, 0, whole.octets.length),
          children: inner,
        })
      }
    }
    return shifted(field, at)
  }

  /** An M-Bus frame, and the APDU when its last part is in it. */
  private mbusFrame(octets: Buffer, at: number, end: number): ExplainedField {
    const view = octets.subarray(at, end)
    try {
      const frame = readMbusFrame(view, view.length)
      const { part, isLast, source, destination, partView } = frame
      const text = `part ${part}${isLast ? ', the last' : ''}, from ${source} to ${destination}`
      const field = leaf('mbus-frame', text, at, view.length)
      const partAt = at + view.length - 2 - partView.length
      field.children.push(leaf('part', partView.toString('hex'), partAt, partView.length))
      const apdu = this.mbus.add(frame)
      const from = `mbus ${source}`
      if (apdu !== undefined)
        field.children.push({
          ...leaf('gathered', `${apdu.length} octets`, 0, apdu.length),
          children: this.payload(apdu, 0, apdu.length, from),
        })
      return field
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      return leaf(
        'unreadable',
        `${error.code}, ${error.detail}: ${view.toString('hex')}`,
        at,
        view.length,
      )
    }
  }

  /** The APDU of a frame, once its last segment has come. */
  private addContent(field: ExplainedField, frame: HdlcFrame): void {
    const { kind, source, destination, informationView, isSegmented } = frame
    if ((kind !== 'I' && kind !== 'UI') || informationView.length === 0) return
    const from = `${textOfAddress(source)}>${textOfAddress(destination)}`
    const gatherer = this.gatherers.get(from) ?? new SegmentGatherer()
    this.gatherers.set(from, gatherer)
    const isWhole = !gatherer.isPartial && !isSegmented
    const apdu = gatherer.addUnordered(informationView, isSegmented)
    const information = field.children.find(({ name }) => name === 'information')!
    if (apdu === undefined) return
    if (apdu === 'TOO_LONG')
      return void information.children.push(leaf('unreadable', 'segments without an end', 0, 0))
    const llcBytes = informationView.length - behindLlc(informationView).length
    if (llcBytes > 0)
      information.children.push(
        leaf('llc', informationView.toString('hex', 0, llcBytes), information.at, llcBytes),
      )
    for (const explained of this.payload(apdu, 0, apdu.length, from))
      information.children.push(isWhole ? shifted(explained, information.at + llcBytes) : explained)
    information.value = isWhole ? '' : `last of the segments of ${apdu.length} octets`
  }
}

/** Octets of the wrapper frame at `at`; 0 when there is none. */
function wrapperBytesAt(octets: Buffer, at: number): number {
  if (octets.length - at <= wrapperHeaderBytes || octets.readUInt16BE(at) !== 1) return 0
  const bytes = wrapperHeaderBytes + octets.readUInt16BE(at + 6)
  return bytes > wrapperHeaderBytes && bytes <= octets.length - at ? bytes : 0
}

/** Where the M-Bus frame at `at` ends, a damaged one too; `at` when no frame begins there. */
function mbusEndAt(octets: Buffer, at: number): number {
  const view = octets.subarray(at)
  const bytes = mbusBytesAt(view, true)
  if (typeof bytes === 'number') return at + bytes
  return at + mbusDamageBytes(view)
}

/**
 * Octets of the LLC header at `at`, which some logs show without the frame around it; 0 when
 * there is no such header.
 */
function llcBytesAt(octets: Buffer, at: number): number {
  const view = octets.subarray(at)
  return view.length - behindLlc(view).length
}

/** Where the APDU at `at` ends: at the end of all where it is none. */
function endOfApdu(octets: Buffer, at: number): number {
  const view = octets.subarray(at, at + limits.apduBytesMax)
  const reader = new Reader(view, { isTolerant: true })
  try {
    anyApdu.read(reader)
    return at + reader.at
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return octets.length
  }
}

function isApdu(octets: Buffer, at: number): boolean {
  try {
    decodeApdu(octets.subarray(at, at + limits.apduBytesMax), { isTolerant: true })
    return true
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return false
  }
}

/** COSEM data by itself, when `view` is that and nothing else. */
function dataIn(view: Buffer): ExplainedField | undefined {
  try {
    if (skipValue(view, 0) !== view.length) return undefined
    return { ...leaf('data', '', 0, view.length), children: [explainData(view)] }
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return undefined
  }
}

/** Fields whose octets are not among those around them. */
const ownPlaces: ReadonlySet<string> = new Set(['plaintext', 'gathered', 'with-tags'])

/**
 * `field` in octets that begin `by` later. What was enciphered or gathered has places of its own.
 */
function shifted(field: ExplainedField, by: number): ExplainedField {
  if (by === 0) return field
  const children = field.children.map((child) =>
    ownPlaces.has(child.name) ? child : shifted(child, by),
  )
  return { ...field, at: field.at + by, children }
}
