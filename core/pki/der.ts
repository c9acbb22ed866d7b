/**
 * A strict reader of DER for certificates and revocation lists, which come from outside: definite
 * lengths in their shortest form, nothing behind the end. Encodes nothing.
 * @source ITU-T X.690 clauses 8 and 10
 */

/** What is not DER, or not what the profile has there. Never leaves core/pki. */
export class DerFault extends Error {
  override name = 'DerFault'
}

export const Tag = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OID: 0x06,
  UTF8_STRING: 0x0c,
  PRINTABLE_STRING: 0x13,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const

/** The tag of a constructed, context-specific field. */
export const contextTag = (number: number): number => 0xa0 + number

/** One element: its content, and the whole with tag and length. Views. */
export type DerElement = { readonly tag: number; readonly content: Buffer; readonly whole: Buffer }

export class DerReader {
  private readonly view: Buffer
  private at = 0

  constructor(view: Buffer) {
    this.view = view
  }

  get isAtEnd(): boolean {
    return this.at === this.view.length
  }

  /** The tag of the next element; undefined at the end. */
  get nextTag(): number | undefined {
    return this.view[this.at]
  }

  next(): DerElement {
    const { view, at: start } = this
    const tag = view[start]
    if (tag === undefined || (tag & 0x1f) === 0x1f) throw new DerFault('an element is missing')
    const contentAt = start + 2 + this.lengthOctets(start + 1)
    const end = contentAt + this.lengthAt(start + 1)
    if (end > view.length) throw new DerFault('an element is longer than what holds it')
    this.at = end
    return { tag, content: view.subarray(contentAt, end), whole: view.subarray(start, end) }
  }

  /** The next element, which must have `tag`. */
  read(tag: number): DerElement {
    const element = this.next()
    if (element.tag !== tag) throw new DerFault(`tag ${element.tag} in place of ${tag}`)
    return element
  }

  /** The next element when it has `tag`; undefined, and nothing read, otherwise. */
  readIf(tag: number): DerElement | undefined {
    return this.nextTag === tag ? this.next() : undefined
  }

  /** A reader of the content of the next element, which must have `tag`. */
  enter(tag: number): DerReader {
    return new DerReader(this.read(tag).content)
  }

  /** All elements that are left. */
  rest(): DerElement[] {
    const elements: DerElement[] = []
    while (!this.isAtEnd) elements.push(this.next())
    return elements
  }

  end(): void {
    if (!this.isAtEnd) throw new DerFault('octets are left over')
  }

  private lengthOctets(at: number): number {
    const first = this.view[at] ?? 0
    return first < 0x80 ? 0 : first & 0x7f
  }

  private lengthAt(at: number): number {
    const first = this.view[at]
    if (first === undefined) throw new DerFault('a length is missing')
    if (first < 0x80) return first
    const count = first & 0x7f
    // 0x80 is the indefinite length of BER; four octets of length are more than any limit.
    if (count === 0 || count > 3 || at + count >= this.view.length)
      throw new DerFault('a length is not DER')
    const length = this.view.readUIntBE(at + 1, count)
    if (length < 0x80 || (count > 1 && this.view[at + 1] === 0))
      throw new DerFault('a length is not in its shortest form')
    return length
  }
}

/** The one element that `view` is. */
export function wholeElement(view: Buffer, tag: number): DerReader {
  const reader = new DerReader(view)
  const inner = reader.enter(tag)
  reader.end()
  return inner
}

/** `1.2.840.10045.2.1` */
export function oidText({ content }: DerElement): string {
  const arcs: number[] = []
  let arc = 0
  for (const [index, octet] of content.entries()) {
    if (arc === 0 && octet === 0x80) throw new DerFault('an arc is not in its shortest form')
    arc = arc * 128 + (octet & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw new DerFault('an arc is too large')
    if ((octet & 0x80) !== 0) {
      if (index === content.length - 1) throw new DerFault('an arc does not end')
      continue
    }
    if (arcs.length > 0) arcs.push(arc)
    else arcs.push(Math.min(2, Math.floor(arc / 40)), arc - 40 * Math.min(2, Math.floor(arc / 40)))
    arc = 0
  }
  if (arcs.length === 0) throw new DerFault('an object identifier is empty')
  return arcs.join('.')
}

/** The octets of a positive INTEGER without the leading zero; at most `max` of them. */
export function positiveOctets({ content }: DerElement, max: number): Buffer {
  const first = content[0]
  if (first === undefined || first >= 0x80) throw new DerFault('a number is not positive')
  if (first === 0 && content.length > 1 && content[1]! < 0x80)
    throw new DerFault('a number is not in its shortest form')
  const octets = first === 0 ? content.subarray(1) : content
  if (octets.length === 0 || octets.length > max)
    throw new DerFault(`a number has ${octets.length} octets`)
  return octets
}

/** The octets of a BIT STRING that has whole octets. */
export function wholeOctets({ content }: DerElement): Buffer {
  if (content[0] !== 0) throw new DerFault('a bit string does not have whole octets')
  return content.subarray(1)
}

/** A UTCTime or GeneralizedTime in UTC with seconds, as ms since 1970. [RFC 5280 4.1.2.5] */
export function timeMs({ tag, content }: DerElement): number {
  const text = content.toString('latin1')
  const isShort = tag === Tag.UTC_TIME
  if (!isShort && tag !== Tag.GENERALIZED_TIME) throw new DerFault('a time is missing')
  const [, year, month, day, hour, minute, second] =
    /^(\d{2}|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text) ?? []
  if (year === undefined || (year.length === 2) !== isShort) throw new DerFault('a time is not UTC')
  const century = isShort ? (Number(year) < 50 ? '20' : '19') : ''
  const ms = Date.parse(`${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  if (Number.isNaN(ms)) throw new DerFault('a time is not one')
  return ms
}

/** The octets of PEM blocks with `label` in `text`, in their order. [RFC 7468] */
export function pemBlocks(text: string, label: string): Buffer[] {
  const pattern = new RegExp(
    `-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]*)-----END ${label}-----`,
    'g',
  )
  return Array.from(text.matchAll(pattern), ([, base64 = '']) => Buffer.from(base64, 'base64'))
}

/** One PEM block. [RFC 7468] */
export function pemOf(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}
