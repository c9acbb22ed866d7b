/**
 * Telegrams of text, as meters send them on their consumers' port, some of them within a ciphered
 * APDU:
 *
 *   /identification CR LF CR LF | lines | ! CRC16 as four digits          DSMR P1; [IEC 62056-21, mode D] without the CRC
 *   line = OBIS code, values in brackets: 1-0:1.8.1(001234.567*kWh)
 *
 * The CRC is that of polynomial A001, reflected, from / to ! inclusive. [DSMR P1 companion standard
 * 5.0, 6.2; IEC 62056-21, 6.1]
 */
import { limits } from '../../base/limits.ts'

/**
 * `obis` where the line names one; `values` what stands in brackets. `at` and `bytes` say where the
 * line lies.
 */
export type TelegramLine = {
  text: string
  obis: string | undefined
  values: string[]
  at: number
  bytes: number
}

export type Telegram = {
  identification: string | undefined
  lines: TelegramLine[]
  checksum: 'right' | 'wrong' | 'absent'
}

const stx = 0x02
const etx = 0x03
const slash = 0x2f
const exclamationMark = 0x21
const linePattern =
  /^(?:(?<a>\d{1,3})-(?<b>\d{1,3}):)?(?<c>\d{1,3})\.(?<d>\d{1,3})(?:\.(?<e>\d{1,3}))?(?:[*.&](?<f>\d{1,3}))?(?<values>(?:\([^()]*\))+)$/
const crcPattern = /^[0-9A-F]{4}$/i

/**
 * The telegram that `view` is, whole; undefined for all else: it is printable, and one line at
 * least begins with an OBIS code.
 */
export function readTelegram(view: Buffer): Telegram | undefined {
  if (view.length < 4 || view.length > limits.apduBytesMax) return undefined
  const start = view[0] === stx ? 1 : 0
  if (!isText(view[start]!)) return undefined
  const etxAt = view.lastIndexOf(etx)
  // Behind the end of text stands a check octet, which may be any.
  const end = etxAt > 0 && etxAt >= view.length - 2 ? etxAt : view.length
  for (let at = start; at < end; at++) if (!isText(view[at]!)) return undefined
  const lines: TelegramLine[] = []
  let identification: string | undefined
  let at = start
  for (const text of view.toString('latin1', start, end).split(/\r\n|\n|\r/)) {
    const isFirst = at === start && view[start] === slash
    if (isFirst) identification = text.slice(1)
    else if (text.startsWith('!')) break
    else if (text !== '') lines.push(lineOf(text, at))
    at += text.length
    at += view[at] === 0x0d && view[at + 1] === 0x0a ? 2 : 1
  }
  if (!lines.some(({ obis }) => obis !== undefined)) return undefined
  return { identification, lines, checksum: checksumOf(view, start, end) }
}

const isText = (octet: number): boolean =>
  (octet >= 0x20 && octet <= 0x7e) || octet === 0x0d || octet === 0x0a

function lineOf(text: string, at: number): TelegramLine {
  const { groups } = linePattern.exec(text) ?? {}
  const line = { text, obis: undefined, values: [], at, bytes: text.length }
  if (groups === undefined) return line
  // Without them they are electricity's and the one channel's. [IEC 62056-21, Annex A; IEC
  // 62056-6-1]
  const { a = '1', b = '0', c, d, e = '255', f = '255', values = '' } = groups
  const numbers = [a, b, c, d, e, f].map(Number)
  if (numbers.some((number) => number > 255)) return line
  const [A, B, C, D, E, F] = numbers
  return {
    ...line,
    obis: `${A}-${B}:${C}.${D}.${E}.${F}`,
    values: [...values.matchAll(/\(([^()]*)\)/g)].map(([, value = '']) => value),
  }
}

function checksumOf(view: Buffer, start: number, end: number): Telegram['checksum'] {
  const mark = view.lastIndexOf(exclamationMark, end - 1)
  const digits = mark < start ? '' : view.toString('latin1', mark + 1, Math.min(mark + 5, end))
  if (!crcPattern.test(digits) || view[start] !== slash) return 'absent'
  let crc = 0
  for (let at = start; at <= mark; at++) {
    crc ^= view[at]!
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1
  }
  return crc === Number.parseInt(digits, 16) ? 'right' : 'wrong'
}
