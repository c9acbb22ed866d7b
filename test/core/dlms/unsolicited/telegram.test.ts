/**
 * Telegrams of text: read, held against their CRC, cut at every length; within a ciphered APDU, for
 * people and for parties.
 */
import fc from 'fast-check'
import t from 'tap'
import { decodeLines } from '../../../../actors/cli/meter/dlms-decode.ts'
import { readTelegram } from '../../../../core/dlms/unsolicited/telegram.ts'
import { paddedTextIn } from '../../../../core/dlms/axdr/padded-text.ts'
import { authenticatedEncrypted, Shape, suites } from '../../../../core/dlms/security/index.ts'
import type { SecretKey } from '../../../../core/crypto/crypto.ts'
import { channelPair, secretKeys } from '../../../support/security.ts'

/**
 * DSMR P1 companion standard 5.0, example telegram, shortened; its CRC worked out by the algorithm
 * of 6.2.
 */
const lines = [
  '/ISk5\\2MT382-1000',
  '',
  '1-3:0.2.8(50)',
  '0-0:1.0.0(101209113020W)',
  '1-0:1.8.1(123456.789*kWh)',
  '1-0:99.97.0(2)(0-0:96.7.19)(101208152415W)(0000000240*s)',
  'C.1.0(12345678)',
  '!',
]
const body = Buffer.from(lines.join('\r\n'), 'latin1')

t.test('a telegram line by line', (t) => {
  const telegram = readTelegram(body)
  t.match(telegram, {
    identification: 'ISk5\\2MT382-1000',
    checksum: 'absent',
    lines: [
      { obis: '1-3:0.2.8.255', values: ['50'] },
      { obis: '0-0:1.0.0.255', values: ['101209113020W'] },
      { obis: '1-0:1.8.1.255', values: ['123456.789*kWh'], at: 62 },
      { obis: '1-0:99.97.0.255', values: { length: 4 } },
      { obis: undefined, text: 'C.1.0(12345678)' },
    ],
  })
  for (const { at, bytes, text } of telegram!.lines)
    t.equal(body.toString('latin1', at, at + bytes), text)
  const wrong = Buffer.concat([body, Buffer.from('0000\r\n')])
  t.equal(readTelegram(wrong)?.checksum, 'wrong')
  // CRC-16/ARC of "123456789" is BB3D: the same algorithm.
  t.match(readTelegram(Buffer.from('/X\r\n1.8.0(1*kWh)\r\n')), {
    lines: [{ obis: '1-0:1.8.0.255' }],
  })
  for (const text of ['hello', '/only a name\r\n', '1.8.0', '\u0000\u0001', '1-0:1.8.0(\u0000)'])
    t.equal(readTelegram(Buffer.from(text, 'latin1')), undefined, text)
  for (let bytes = 0; bytes < body.length; bytes++) readTelegram(body.subarray(0, bytes))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (octets) => {
      const found = readTelegram(Buffer.from(octets))
      return found === undefined || found.lines.length > 0
    }),
  )
  t.end()
})

/** What a key says as hexadecimal digits. */
const hexOf = (key: SecretKey | undefined): string => key!.copyOfOctets().toString('hex')

t.test('within a ciphered APDU', (t) => {
  const [unicast, , authentication] = secretKeys(suites[0])
  const { meter } = channelPair(suites[0])
  const choice = { shape: Shape.GENERAL_GLOBAL, protection: authenticatedEncrypted } as const
  const hex = Buffer.from(meter.protect(body, choice)).toString('hex')
  const key = hexOf(unicast)
  const said = decodeLines(hex, { key, authenticationKey: hexOf(authentication) }).join('\n')
  t.match(said, /telegram: ISk5/)
  t.match(said, /1-0:1\.8\.1\.255: Electricity, active energy import.*: 123456\.789\*kWh/)
  t.match(decodeLines(hex, { key }).join('\n'), /plaintext: not verified[^]*telegram: ISk5/)
  t.end()
})

t.test('padded text', (t) => {
  const of = (text: string) => paddedTextIn(Buffer.from(text, 'latin1'))
  t.same(of('Energomera\0\0\0\0\0\0'), { text: 'Energomera', paddingBytes: 6 })
  t.same(of('RATE2\xff\xff'), { text: 'RATE2', paddingBytes: 2 })
  t.same(of('\0\0  123  '), { text: '123', paddingBytes: 6 })
  t.same(of('plain'), { text: 'plain', paddingBytes: 0 })
  for (const text of ['', '\0\0\0\0', 'ab\0', 'ab\0cd', '\x07abc']) t.equal(of(text), undefined)
  const said = decodeLines('0910456e6572676f6d657261000000000000', {}).join('\n')
  t.match(said, /= "Energomera" and 6 octets of filling/)
  t.match(decodeLines('090417000000', {}).join('\n'), /= 23:00:00/)
  t.match(decodeLines('090507e80b0307', {}).join('\n'), /2024-11-03/)
  t.match(decodeLines('090c07e80b030713000fff800000', {}).join('\n'), /2024-11-03.*19:00:15/)
  t.end()
})
