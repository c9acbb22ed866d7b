/**
 * Octets in text as people have it: hexadecimal digits in many notations, hexdumps, and lines of a
 * log with prefixes in front of the octets.
 *
 *   c001c1…   C0:01:C1   C0.01.C1   0xc0, 0x01   \xc0\x01   b'~\xa0'   7E A0 - 07          notations
 *   00000010  7e a0 07 … |~..|   0010: 7ea0 07..                     hexdumps: an offset that counts, perhaps characters behind
 *   [12:00:01.123] TX: 7E A0    2026-11-30 12:00:01 INFO <- 7ea0     lines of a log
 *
 * Where the octets of a line end at something that is neither a pair of digits nor a remark, that
 * place is a fault: nothing behind it in the line is an octet, since nobody knows what is missing.
 */

/** Places count from 1; `octet` is the number of octets in front of the fault. */
export type HexFault = { line: number; column: number; octet: number; text: string }

/**
 * `octets` of one line; `isBegun`: a prefix stands in front, so that they do not go on what the
 * line before began.
 */
export type HexLine = { octets: Buffer; isBegun: boolean }

export type HexText = { lines: HexLine[]; faults: HexFault[] }

type Found = { digits: string[]; isBegun: boolean; faultAt: number | undefined }

export function octetsInText(text: string): HexText {
  const lines: HexLine[] = []
  const faults: HexFault[] = []
  const dump = new HexDump()
  let octet = 0
  let isBroken = false
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue
    const found = dump.take(line) ?? inLiteral(line) ?? inLine(line)
    // Digits that go on behind a fault belong to what is not known.
    if (isBroken && !found.isBegun) continue
    isBroken = found.faultAt !== undefined
    octet += found.digits.length
    if (found.digits.length > 0 || found.isBegun)
      lines.push({ octets: Buffer.from(found.digits.join(''), 'hex'), isBegun: found.isBegun })
    if (found.faultAt !== undefined)
      faults.push({
        line: index + 1,
        column: found.faultAt + 1,
        octet,
        text: /^\s*\S{1,12}/.exec(line.slice(found.faultAt))?.[0].trim() ?? '',
      })
  }
  return { lines, faults }
}

// ── hexdumps ──

const dumpLine = /^\s*(?:0x)?([0-9a-f]{4,8})(?::\s*|\s{2,}|\s)(?=[0-9a-f]{2})/i
/** Pairs in groups; wider gaps only in the middle of a row, where some programs leave one. */
const dumpDigits = /^(?:[0-9a-f]{2}(?: ?- ?| )?)*[0-9a-f]{2}/i
const dumpRowMax = 32

/** Offsets tell a hexdump from other digits: each says how many octets stand in front of it. */
class HexDump {
  private next = 0

  /** What is in the line; undefined when it is no line of a hexdump. */
  take(line: string): Found | undefined {
    const [head = '', offsetDigits = ''] = dumpLine.exec(line) ?? []
    const offset = Number.parseInt(offsetDigits, 16)
    const isNext = offset === this.next || offset === 0
    const isDump = isNext && (head.includes(':') || /\s{2,}$/.test(head) || offset > 0)
    if (head === '' || !isDump || (offset === 0 && !/^\s*(?:0x)?0{4,8}[:\s]/i.test(head))) {
      this.next = 0
      return undefined
    }
    const digits = this.row(line.slice(head.length))
    this.next = offset + digits.length
    return { digits, isBegun: offset === 0, faultAt: undefined }
  }

  private row(text: string): string[] {
    // Characters stand behind a bar, or behind two spaces; one wider gap may stand behind eight
    // octets.
    const bare = text.replace(/\s*\|.*$/, '')
    const first = dumpDigits.exec(bare)?.[0] ?? ''
    const firstPairs = pairsIn(first)
    if (firstPairs.length !== 8) return firstPairs.slice(0, dumpRowMax)
    const second = /^\s{1,2}(?:- )?((?:[0-9a-f]{2}(?: |$)){1,8})(?:\s|$)/i.exec(
      bare.slice(first.length),
    )
    return [...firstPairs, ...pairsIn(second?.[1] ?? '')]
  }
}

const pairsIn = (text: string): string[] => text.match(/[0-9a-f]{2}/gi) ?? []

// ── literals ──

const literal = /\bb(['"])((?:\\.|(?!\1)[^\\])*)\1/
const literalOctet = /\\x([0-9a-f]{2})|\\(.)|([^\\])/giy
const escapes: Readonly<Record<string, string>> = { n: '0a', r: '0d', t: '09', 0: '00' }

/**
 * Python's `b'~\xa0\x07'`: what is printable stands there as characters. Only with an escape: else
 * it is text, perhaps of digits.
 */
function inLiteral(line: string): Found | undefined {
  const [, , content = ''] = literal.exec(line) ?? []
  if (!/\\x[0-9a-f]{2}/i.test(content)) return undefined
  const digits = Array.from(content.matchAll(literalOctet), ([, pairOf, escaped, plain]) => {
    if (pairOf !== undefined) return pairOf
    const known = escaped === undefined ? undefined : escapes[escaped]
    return known ?? Buffer.from(escaped ?? plain!, 'latin1').toString('hex')
  })
  return { digits, isBegun: true, faultAt: undefined }
}

// ── lines ──

const timestamps = [
  // 2026-11-30T12:00:01.123Z, 2026/11/30 12:00, 30.11.2026 12:00:01
  /\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T _]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)?(?: ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?/y,
  /\d{1,2}[-/.]\d{1,2}[-/.]\d{4}(?:[T ,]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)?/y,
  // 12:00:01.123
  /(?:[01]?\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,:]\d{3,9})?(?: ?[AP]M)?(?:Z|[+-]\d{2}:?\d{2})?/iy,
  // Nov 30 12:00:01
  /(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2} +\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?/iy,
  // Seconds since 1970, or since the start, with a fraction.
  /\d{1,13}\.\d{1,9}/y,
]
const behindTimestamp = /(?=$|[\s\]),;|>])|(?=:\s)/y
const arrows =
  /(?:<-+|-+>|<=+|=+>|<{1,3}|>{1,3}|[\u2190\u2192\u21d0\u21d2\u00ab\u00bb])(?=[\s:0-9a-f[]|$)/iy
const directions =
  /\b(?:tx|rx|out|in|to|from|send(?:ing)?|sent|rec(?:v|eive[ds]?|eiving)?|write|wrote|read|request|response|req|resp?|client|server|meter|push)\b ?[:>=-]?>?(?=\s|[0-9a-f"'[]|$)/iy
const gaps = /[\s"'`{|,;]+/y
const groups = /\[([^\]]*)\]:?|\(([^)]*)\):?/y
const labels = /[^\s:=[\](){}"']+ ?(?::(?=\s|$)|=)/y
const labelsOfWords = /[^\s:=0-9"']*[g-z_][^\s:="']*[:=]/iy
const wholeToken = /[^\s"'[\](){},;|]+/y
const digitsToken = /^(?:(?:0x|\\x)?[0-9a-f]{2}h?[:,\\-]?)+(?:0x|\\x)?$/i
const listOfOctets = /^\s*(?:0x)?[0-9a-f]{2}(?:[\s,:-]*(?:0x)?[0-9a-f]{2}){3,}\s*$/i

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at
  return pattern.exec(text) ?? undefined
}

function inLine(given: string): Found {
  const line = given.replaceAll(dotted, (octets) => octets.replaceAll('.', ':'))
  const from = payloadAt(line)
  const isBegun = line.slice(0, from).trim() !== ''
  return { ...digitsFrom(line, from), isBegun }
}

/** Where the octets begin: behind the prefixes of the line. */
function payloadAt(line: string): number {
  let at = 0
  for (;;) {
    const next = behindPrefix(line, at)
    if (next === at) return at
    at = next
  }
}

function behindPrefix(line: string, at: number): number {
  if (at >= line.length) return at
  const gap = matchAt(gaps, line, at)
  if (gap) return at + gap[0].length
  const group = matchAt(groups, line, at)
  if (group) {
    const inner = group[1] ?? group[2] ?? ''
    const isTime = timestampBytes(inner, 0) === inner.length
    return !isTime && listOfOctets.test(inner) ? at + 1 : at + group[0].length
  }
  if (line[at] === '[' || line[at] === '(') return at + 1
  const passed = timestampBytes(line, at) || (matchAt(arrows, line, at)?.[0].length ?? 0)
  if (passed > 0) return at + passed
  const direction = matchAt(directions, line, at) ?? matchAt(labelsOfWords, line, at)
  if (direction) return at + direction[0].length
  return behindWord(line, at)
}

/**
 * Behind a label, a word or a number that stands in front of the octets; `at` where octets, or what
 * should be some, begin.
 */
function behindWord(line: string, at: number): number {
  const label = matchAt(labels, line, at)
  const token = matchAt(wholeToken, line, at)?.[0] ?? ''
  const behind = at + token.length
  if (label && !/^(?:0x)?[0-9a-f]{2}$/i.test(token)) return at + label[0].length
  // An arrow never stands among octets: numbers and names of the ends are in front of it.
  if (hasArrow(line, behind)) return Math.max(behind, at + 1)
  if (/^\d{1,5}$/.test(token) && /^\s+[a-z]*[g-z]/i.test(line.slice(behind))) return behind
  if (digitsToken.test(token)) return at
  return isBrokenHex(token) ? at : Math.max(behind, at + 1)
}

const hasArrow = (line: string, at: number): boolean =>
  /(?:^|\s)(?:<-+|-+>|<=+|=+>|<{2,3}|>{1,3}|tx:?|rx:?|[\u2190\u2192])(?=\s|[0-9a-f]{2})/i.test(
    line.slice(at),
  )

/**
 * A token that was to be digits: most of it is, with a figure among them, and it begins with a pair
 * or stands alone.
 */
function isBrokenHex(token: string): boolean {
  const plain = token.replace(/(?:\.{2,}|\u2026)$/, '').replaceAll(/0x|\\x|[:,-]/gi, '')
  const digits = plain.replaceAll(/[^0-9a-f]/gi, '').length
  const figures = plain.replaceAll(/\D/g, '').length
  return figures > 0 && digits / plain.length >= 0.6 && !/[.@/_]/.test(plain)
}

function timestampBytes(line: string, at: number): number {
  for (const pattern of timestamps) {
    const found = matchAt(pattern, line, at)?.[0]
    if (found === undefined || !matchAt(behindTimestamp, line, at + found.length)) continue
    // Digits that stand alone in the line are what was asked for.
    if (at + found.length < line.length || /[.,T/ ]/.test(found)) return found.length
  }
  return 0
}

// ── digits ──

const pair = /(?:0x|\\x)?([0-9a-f]{2})h?/iy
const separators = /[\s:,-]+/y
/** As one firmware writes octets: `A1.08.83.13.E6`, more of them than a network address has. */
const dotted = /(?<![0-9a-f.])[0-9a-f]{2}(?:\.[0-9a-f]{2}){4,}(?![0-9a-f])/gi
const pairsAlone = /^\s*(?:[0-9a-f]{2}[\s|:,-]*)+$/i
/**
 * Remarks behind octets: in brackets, behind a bar or a mark of a comment, quotes; or words without
 * digits, or a count.
 */
const remark = /^\s*(?:$|[([{#;|"'`}\])<>]|\/\/|--\s|[a-z]*[g-z][a-z]*(?![0-9a-f])|len\b)/i
const laterOctets = /(?:^|[\s:,])(?:0x)?[0-9a-f]{2}[\s:,-]*(?:0x)?[0-9a-f]{2}/i

function digitsFrom(line: string, from: number): Omit<Found, 'isBegun'> {
  const digits: string[] = []
  let at = from
  let behind = from
  for (;;) {
    const found = matchAt(pair, line, at)
    if (!found) break
    digits.push(found[1]!)
    behind = at + found[0].length
    at = behind + (matchAt(separators, line, behind)?.[0].length ?? 0)
    // A bar with pairs alone behind it parts groups; one with characters behind it ends the octets.
    if (line[at] === '|' && pairsAlone.test(line.slice(at + 1)))
      at += 1 + (matchAt(separators, line, at + 1)?.[0].length ?? 0)
  }
  if (at >= line.length) return { digits, faultAt: undefined }
  const rest = line.slice(at)
  const isApart = at > behind || /^[)\]}"'`;|#]/.test(rest)
  const isRemark =
    isApart && remark.test(rest) && (/^[(#;|"'`/]/.test(rest) || !laterOctets.test(rest))
  const isNothing = digits.length === 0 && !isBrokenHex(rest.trim())
  return { digits, faultAt: isRemark || isNothing ? undefined : at }
}
