/**
 * The content of a call as JSON, so that no call holds the thread: a document of up to
 * `httpSliceBytes` is read at once, a larger one must be a list, or an object with a list, and its
 * entries are read one by one with pauses in between. Pure: the pause is handed in.
 */
import { limits } from '../base/limits.ts'
import { parseJson, type JsonFault, type ParsedJson } from './json-body.ts'

/** What a route takes. */
export type ContentLimits = {
  readonly bytesMax: number
  /** Entries of the list that the content is, or has. */
  readonly itemsMax: number
  /** Objects and lists inside one another. */
  readonly depthMax: number
}

const [quote, backslash, comma] = ['"', '\\', ','].map((one) => one.charCodeAt(0)) as [
  number,
  number,
  number,
]
const [openBrace, closeBrace] = ['{', '}'].map((one) => one.charCodeAt(0)) as [number, number]
const [openBracket, closeBracket] = ['[', ']'].map((one) => one.charCodeAt(0)) as [number, number]

const excess = (detail: string, field?: string): JsonFault => ({
  detail,
  field,
  isOfValue: false,
  isExcess: true,
})

/** A walk through octets that may be JSON; finds the list and where its entries begin and end. */
class ListScan {
  /** Beginning and end of each entry, by turns. */
  readonly places: number[] = []
  listStart = -1
  listEnd = -1
  private readonly octets: Buffer
  private readonly max: ContentLimits
  private depth = 0
  private objectCount = 0
  private listDepth = 0
  private itemStart = 0
  private isRootObject = false
  private isInText = false
  private at = 0

  constructor(octets: Buffer, max: ContentLimits) {
    this.octets = octets
    this.max = max
  }

  /** Goes on for `httpSliceBytes`; true at the end. */
  step(): boolean | JsonFault {
    const { octets } = this
    const end = Math.min(octets.length, this.at + limits.httpSliceBytes)
    for (; this.at < end; this.at++) {
      const octet = octets[this.at]!
      if (octet === backslash && this.isInText) this.at++
      else if (octet === quote) this.isInText = !this.isInText
      else if (!this.isInText) {
        const fault = this.sign(octet)
        if (fault !== undefined) return fault
      }
    }
    return this.at >= octets.length
  }

  private sign(octet: number): JsonFault | undefined {
    if (octet === openBrace || octet === openBracket) return this.open(octet)
    const isOfList = this.listStart >= 0 && this.listEnd < 0 && this.depth === this.listDepth
    if (octet === comma) return isOfList ? this.item() : undefined
    if (octet !== closeBrace && octet !== closeBracket) return undefined
    this.depth--
    if (!isOfList) return undefined
    this.listEnd = this.at
    const isBlank = this.octets.toString('latin1', this.itemStart, this.at).trim() === ''
    return isBlank && this.places.length === 0 ? undefined : this.item()
  }

  private open(octet: number): JsonFault | undefined {
    const { max } = this
    const isFirst = ++this.depth === 1
    if (this.depth > max.depthMax)
      return { detail: 'the body is nested too deep', field: undefined, isOfValue: false }
    if (++this.objectCount > limits.jsonObjectsMax)
      return excess('the body has too many objects and lists')
    if (isFirst) this.isRootObject = octet === openBrace
    if (octet !== openBracket || this.listStart >= 0) return undefined
    if (isFirst || (this.depth === 2 && this.isRootObject)) {
      this.listStart = this.itemStart = this.at + 1
      this.listDepth = this.depth
    }
    return undefined
  }

  private item(): JsonFault | undefined {
    const { places, at, itemStart, max } = this
    const index = places.length / 2
    if (index >= max.itemsMax) return excess(`the list has more than ${max.itemsMax} entries`)
    if (at - itemStart > limits.httpSliceBytes)
      return excess(`has more than ${limits.httpSliceBytes} octets`, `[${index}]`)
    places.push(itemStart, at)
    this.itemStart = at + 1
    return undefined
  }
}

/** The list of a document whose list was taken out of it, and the name of its member. */
function emptyListIn(value: unknown): { list: unknown[]; name: string } | undefined {
  if (Array.isArray(value)) return { list: value, name: '' }
  for (const [name, member] of Object.entries(value as object))
    if (Array.isArray(member)) return { list: member, name }
  return undefined
}

/** The document without the entries of its list. */
function frameOf(octets: Buffer, { listStart, listEnd }: ListScan): ParsedJson {
  if (listStart < 0 || listEnd < 0)
    return excess(`a body that is not a list has more than ${limits.httpSliceBytes} octets`)
  const rest = octets.length - (listEnd - listStart)
  if (rest > limits.httpSliceBytes)
    return excess(`the body has more than ${limits.httpSliceBytes} octets beside its list`)
  return parseJson(Buffer.concat([octets.subarray(0, listStart), octets.subarray(listEnd)]))
}

/** `fault` of the entry at `index` of a list, as a fault of the document. */
function faultAt(fault: JsonFault, name: string, index: number): JsonFault {
  const place = `${name}[${index}]`
  const { field } = fault
  if (fault.detail === 'the body is empty')
    return { ...fault, detail: `the body is not JSON: nothing stands at ${place}` }
  if (field === undefined) return { ...fault, detail: `${place}: ${fault.detail}` }
  return { ...fault, field: field.startsWith('[') ? place + field : `${place}.${field}` }
}

/**
 * The value of the JSON document in `octets`, which are borrowed until the promise settles.
 * @param pause lets others have the thread; called between parts of about `httpSliceBytes`
 */
export async function parseContent(
  octets: Buffer,
  max: ContentLimits,
  pause: () => Promise<void>,
): Promise<ParsedJson> {
  const { depthMax } = max
  if (octets.length <= limits.httpSliceBytes) return parseJson(octets, { depthMax })
  const scan = new ListScan(octets, max)
  for (let step = scan.step(); step !== true; step = scan.step()) {
    if (step !== false) return step
    await pause()
  }
  const frame = frameOf(octets, scan)
  if ('detail' in frame) return frame
  const found = emptyListIn(frame.value)
  if (found === undefined) return excess('the body is not a list')
  const { list, name } = found
  let taken = 0
  for (let at = 0; at < scan.places.length; at += 2) {
    const [from, to] = [scan.places[at]!, scan.places[at + 1]!]
    const parsed = parseJson(octets.subarray(from, to), { isPart: true, depthMax })
    if ('detail' in parsed) return faultAt(parsed, name, at / 2)
    list.push(parsed.value)
    taken += to - from
    if (taken < limits.httpSliceBytes) continue
    taken = 0
    await pause()
  }
  return frame
}
