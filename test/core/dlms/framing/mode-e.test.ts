/**
 * The opening handshake of mode E: as the standard draws it, with what heads and lines do to it,
 * and with any octets.
 */
import fc from 'fast-check'
import t from 'tap'
import { ModeEHandshake, type ModeEStep } from '../../../../core/dlms/framing/mode-e.ts'
import { outcomeOf } from '../../../support/dlms.ts'

const text = (line: string): Buffer => Buffer.from(line, 'latin1')
const sent = (step: ModeEStep | undefined): string | undefined =>
  step && 'send' in step ? step.send.toString('latin1') : undefined

function begun(options: ConstructorParameters<typeof ModeEHandshake>[0] = {}): ModeEHandshake {
  const handshake = new ModeEHandshake(options)
  handshake.begin(0)
  handshake.next(0)
  return handshake
}

t.test('sign-on, identification, acknowledgement, confirmation [IEC 62056-21, annex E]', (t) => {
  const handshake = new ModeEHandshake({ deviceAddress: '00012345' })
  handshake.begin(0)
  t.equal(sent(handshake.next(0)), '/?00012345!\r\n')
  t.equal(handshake.next(0), undefined)
  handshake.receive(text('/LGZ5\\2ZMD3104107.B32\r'), 10)
  t.equal(handshake.next(10), undefined, 'not whole yet')
  handshake.receive(text('\n'), 20)
  t.equal(sent(handshake.next(20)), '\x06252\r\n')
  handshake.receive(text('\x06252\r\n'), 30)
  t.match(handshake.next(30), {
    opened: { baud: 9_600, maker: 'LGZ', identification: 'ZMD3104107.B32' },
    rest: Buffer.alloc(0),
  })
  t.equal(handshake.state, 'OPEN')
  t.equal(handshake.actAtMs, undefined)
  t.throws(() => handshake.begin(0), { code: 'DLMS_STATE_INVALID' })
  t.end()
})

t.test(
  'echoes, parity bits, lower speeds, silence instead of a confirmation, HDLC at once',
  (t) => {
    const odd = begun({ baudMax: 2_400 })
    // The sign-on comes back, then the identification with even parity in the eighth bit.
    const parity = text('/?!\r\n/ISK6\\W\\2ME\r\n').map(
      (octet) => octet | ((octet.toString(2).replaceAll('0', '').length & 1) << 7),
    )
    odd.receive(Buffer.from(parity), 0)
    t.equal(sent(odd.next(0)), '\x06232\r\n')
    t.equal(odd.next(odd.actAtMs! - 1), undefined)
    t.match(odd.next(odd.actAtMs!), { opened: { baud: 2_400, maker: 'ISK', identification: 'ME' } })
    const hasty = begun()
    hasty.receive(text('/ISK5\\2ME\r\n'), 0)
    hasty.next(0)
    hasty.receive(Buffer.from('7ea007', 'hex'), 0)
    t.match(hasty.next(0), { opened: { baud: 9_600 }, rest: Buffer.from('7ea007', 'hex') })
    const behind = begun()
    behind.receive(text('/ISK5\\2ME\r\n'), 0)
    behind.next(0)
    behind.receive(text('\x06252\r\n~rest'), 0)
    t.match(behind.next(0), { rest: text('~rest') })
    t.end()
  },
)

t.test(
  'asks again, then gives up; leaves a meter without mode E; refuses an address that cannot be said',
  (t) => {
    const silent = begun({ responseMs: 100, retriesMax: 2 })
    t.equal(sent(silent.next(100)), '/?!\r\n')
    t.equal(sent(silent.next(200)), '/?!\r\n')
    t.throws(() => silent.next(300), { code: 'DLMS_HDLC_SILENT' })
    t.equal(silent.next(400), undefined)
    t.throws(() => begun().receive(text('/ELS5ABC\r\n'), 0), { code: 'DLMS_HDLC_REFUSED' })
    t.throws(() => new ModeEHandshake({ deviceAddress: '1!\r\n' }), { code: 'CONFIG_INVALID' })
    t.end()
  },
)

t.test('any octets: a step, nothing, or a named error; little kept', (t) => {
  const lines = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.constantFrom('/ISK5\\2ME\r\n', '/ABC', '\x06252\r\n', '\r\n', '/AAA9\\2\r\n').map(text),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(lines, fc.nat(2_000)), { maxLength: 20 }), (said) => {
      const handshake = begun()
      let nowMs = 0
      for (const [octets, passedMs] of said) {
        const outcome = outcomeOf(() => {
          handshake.receive(Buffer.from(octets), nowMs)
          handshake.next((nowMs += passedMs))
        })
        if (outcome.code !== undefined) return t.match(outcome.code, /^DLMS_HDLC_(REFUSED|SILENT)$/)
        t.ok((handshake as unknown as { line: number[] }).line.length <= 64)
      }
    }),
    { numRuns: 500 },
  )
  t.end()
})
