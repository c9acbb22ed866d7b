/** `busbar dlms decode`: plain, wrapped, in HDLC, ciphered with the right and the wrong keys; and what is no octets at all. */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { decodeLines } from '../../../actors/cli/dlms-decode.ts'
import { loadVectors, outcomeOf } from '../../support/dlms.ts'

const lines = (hex: string, options = {}): string => decodeLines(hex, options).join('\n')
const root = join(import.meta.dirname, '../../..')

t.test('an APDU, a wrapper frame around it, HDLC frames', (t) => {
  const get = 'c001c1 0003 0100010800ff 02 00'
  t.match(lines(get), /get-request-normal[\s\S]*1-0:1\.8\.0/)
  t.match(lines(`0001 0010 0001 000d ${get}`), /^wrapper[\s\S]*destination: 1[\s\S]*get-request/)
  t.match(lines('C0:01:C1:00:03:01:00:01:08:00:FF:02:00'), /get-request-normal/, 'with colons')
  // SNRM of client 16 to server 1, as makers' heads send it.
  const snrm = lines('7ea0070321930f017e')
  t.match(snrm, /hdlc-frame: SNRM from 16 to 1, P\/F/)
  t.match(lines('7ea0070321930f007e'), /unreadable/)
  t.match(lines('c0'), /unreadable/)
  const json = JSON.parse(lines(get, { json: true })) as { fields: unknown[]; notes: string[] }
  t.equal(json.fields.length, 1)
  t.same(json.notes, [])
  t.end()
})

// Green Book, example of a protected get-request and its keys.
const key = '000102030405060708090A0B0C0D0E0F'
const authenticationKey = 'D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF'
const systemTitle = '4D4D4D0000BC614E'
const ciphered = 'C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B'

t.test('ciphered, given the keys', (t) => {
  const opened = lines(ciphered, { key, authenticationKey, systemTitle })
  t.match(opened, /glo-get-request[\s\S]*get-request-normal[\s\S]*0-0:1\.0\.0/)
  t.match(lines(ciphered), /note: ciphered: --key/)
  t.match(lines(ciphered, { key }), /note: the sender is not named here/)
  t.match(
    lines(ciphered, { key, authenticationKey: key, systemTitle }),
    /note: not deciphered: DLMS_CIPHER_TAG_WRONG/,
  )
  for (const [options, why] of [
    [{ key: 'zz' }, /--key must be pairs/],
    [{ key: '00' }, /--key has 16 or 32 octets/],
    [{ systemTitle: '00' }, /--system-title has eight octets/],
  ] as const)
    t.throws(() => lines(ciphered, options), { code: 'DLMS_VALUE_INVALID', message: why })
  t.throws(() => lines(''), { code: 'DLMS_VALUE_INVALID' })
  t.end()
})

t.test(
  'every vector is explained',
  { skip: loadVectors() === undefined && 'no ../shared/dlms' },
  (t) => {
    let unreadable = 0
    for (const { hex, valid } of loadVectors() ?? []) {
      if (!/^([0-9a-f]{2})+$/.test(hex)) continue
      const said = lines(hex)
      t.ok(said.length > 0)
      if (valid === true && /^unreadable/m.test(said)) unreadable++
    }
    t.comment(`${unreadable} valid vectors are no APDU or frame by themselves`)
    t.end()
  },
)

t.test('any octets are explained, whatever keys there are', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), fc.boolean(), (octets, isHdlc) => {
      const all = isHdlc ? [0x7e, 0xa0, ...octets, 0x7e] : octets
      const outcome = outcomeOf(() =>
        lines(Buffer.from(all).toString('hex'), {
          key,
          authenticationKey,
          systemTitle,
          dedicatedKey: key,
          masterKey: key,
        }),
      )
      t.notOk(outcome.code === undefined && outcome.value === '')
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

t.test('as a command', (t) => {
  const busbar = [join(root, 'actors/main.ts'), 'dlms', 'decode']
  const from = (input: string): string =>
    execFileSync(process.execPath, [...busbar, '-'], { input, encoding: 'utf8' })
  t.match(from('c001c1 0003 0100010800ff 02 00\n'), /get-request-normal/)
  const bad = spawnSync(process.execPath, [...busbar, 'not hex'], { encoding: 'utf8' })
  t.equal(bad.status, 1)
  t.match(bad.stderr, /DLMS_VALUE_INVALID.*hexadecimal/)
  t.end()
})
