/**
 * core/base: the error table and its inverse, EUI-64, service reference variants, bytes, and the
 * relations of limits.
 */
import fc from 'fast-check'
import t from 'tap'
import { AssertionFault, assert, unreachable } from '../../core/base/assert.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { asBuffer, copyOf, emptyBytes, fnv1a32, sameBytes } from '../../core/base/bytes.ts'
import {
  errorCodeOf,
  errorId,
  errorTable,
  explain,
  type ErrorCode,
  type ErrorRow,
} from '../../core/base/error-table.ts'
import {
  bytesOfEui64,
  eui64Bytes,
  readEui64,
  formatEui64,
  textOfEui64,
  parseEui64,
  parseEui64Into,
} from '../../core/base/eui64.ts'
import { bareHost, formatHostPort, parseHostPort } from '../../core/base/host-port.ts'
import { Lane, laneCount } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import { likelyName } from '../../core/base/spelling.ts'
import { formatSrv, parseSrv, parseSrvAt } from '../../core/base/srv.ts'

const rows = Object.entries(errorTable) as Array<[ErrorCode, ErrorRow]>
const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

t.test('error table: every row is whole', async (t) => {
  const ids = new Set<number>()
  for (const [code, row] of rows) {
    t.match(code, /^(OK|[A-Z]+(_[A-Z]+)+)$/, `${code} is AREA_NOUN_CONDITION`)
    t.match(row.duis, /^[IEWN]\d{1,6}$/, `${code}: ${row.duis} is a response code`)
    t.ok(Number.isInteger(row.id) && row.id >= 0 && row.id <= 0xffff, `${code}: id fits in u16`)
    t.notOk(ids.has(row.id), `${code}: id ${row.id} is its own`)
    ids.add(row.id)
    for (const [name, text] of [
      ['meaning', row.meaning],
      ['action', row.action],
    ] as const) {
      t.match(text, /^[A-Z][^]*[.]$/, `${code}: ${name} is a sentence`)
    }
    const isGood = row.fault === 'none'
    t.equal(isGood, row.grpc === 'OK', `${code}: nobody's fault is OK and the other way round`)
    t.equal(isGood, row.duis.startsWith('I'), `${code}: ${row.duis} agrees with the fault`)
  }
})

t.test("error table: codes and ids are each other's inverse", async (t) => {
  for (const [code] of rows) t.equal(errorCodeOf(errorId(code)), code)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff }), (id) => {
      const code = errorCodeOf(id)
      return code === undefined ? !rows.some(([, row]) => row.id === id) : errorId(code) === id
    }),
  )
})

t.test('explain and BrokerError say the row and the detail', async (t) => {
  t.equal(
    explain('DEVICE_UNKNOWN'),
    `${errorTable.DEVICE_UNKNOWN.meaning} ${errorTable.DEVICE_UNKNOWN.action}`,
  )
  t.match(explain('DEVICE_UNKNOWN', 'octet 7'), /\. \(octet 7\) Check/)
  const cause = new Error('below')
  const error = new BrokerError('CONFIG_INVALID', 'a fault', { cause })
  t.equal(error.code, 'CONFIG_INVALID')
  t.equal(error.detail, 'a fault')
  t.equal(error.cause, cause)
  t.equal(error.row, errorTable.CONFIG_INVALID)
  t.ok(error.message.startsWith('CONFIG_INVALID: '))
})

t.test('assertions', async (t) => {
  assert(true, 'never seen')
  t.throws(() => assert(false, 'seen'), AssertionFault)
  t.throws(() => unreachable('x' as never), /unreachable: x/)
})

t.test('EUI-64: text and octets, both ways', async (t) => {
  fc.assert(
    fc.property(
      octets(eui64Bytes),
      fc.constantFrom('', '-', ':'),
      fc.boolean(),
      (bytes, separator, isUpper) => {
        const digits = [...bytes]
          .map((octet) => octet.toString(16).padStart(2, '0'))
          .join(separator)
        const parsed = parseEui64(isUpper ? digits.toUpperCase() : digits)
        return parsed !== undefined && sameBytes(parsed, bytes)
      },
    ),
  )
  fc.assert(
    fc.property(octets(24), fc.integer({ min: 0, max: 16 }), (bytes, at) => {
      const own = bytes.subarray(at, at + 8)
      const text = formatEui64(bytes, at)
      const key = readEui64(bytes, at)
      return (
        /^([0-9A-F]{2}-){7}[0-9A-F]{2}$/.test(text) &&
        sameBytes(parseEui64(text)!, own) &&
        key.length === 8 &&
        sameBytes(bytesOfEui64(key), own) &&
        textOfEui64(key) === text
      )
    }),
  )
  t.equal(formatEui64(parseEui64('90b3d51f30010000')!), '90-B3-D5-1F-30-01-00-00')
})

t.test('EUI-64: anything else is refused', async (t) => {
  for (const text of [
    '',
    '90b3d51f3001000',
    '90b3d51f300100000',
    '90b3d51f3001000g',
    '90-B3-D5-1F-30-01-00:00',
    '90-B3-D5-1F-30-01-0000-',
    '90_B3_D5_1F_30_01_00_00',
    '-90-B3-D5-1F-30-01-00-0',
    ' 90b3d51f3001000',
    '90b3d51f3001000\u0660',
  ]) {
    t.equal(parseEui64(text), undefined, JSON.stringify(text))
  }
  const isEui64 =
    /^(?:[0-9a-f]{16}|[0-9a-f]{2}(?:-[0-9a-f]{2}){7}|[0-9a-f]{2}(?::[0-9a-f]{2}){7})$/i
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string({
          unit: fc.constantFrom(...'0123456789abcdefABCDEF-:g'.split('')),
          minLength: 15,
          maxLength: 24,
        }),
      ),
      (text) => (parseEui64(text) !== undefined) === isEui64.test(text),
    ),
    { numRuns: 2_000 },
  )
})

t.test(
  'EUI-64: is read from the middle of a buffer and written into the middle of another',
  async (t) => {
    const view = Buffer.from('xx90B3D51F30010000yy')
    const out = Buffer.alloc(12, 0xee)
    t.ok(parseEui64Into(view, 2, 18, out, 2))
    t.same(out, Buffer.from('eeee90b3d51f30010000eeee', 'hex'))
    t.notOk(parseEui64Into(view, 2, 17, out, 2))
  },
)

t.test('service reference variants: text and number, both ways', async (t) => {
  const part = fc.integer({ min: 1, max: 255 })
  fc.assert(
    fc.property(part, part, fc.option(part, { nil: undefined }), (a, b, c) => {
      const text = [a, b, c].filter((one) => one !== undefined).join('.')
      const srv = parseSrv(text)
      return srv === ((a << 16) | (b << 8) | (c ?? 0)) && formatSrv(srv) === text
    }),
  )
  t.equal(parseSrv('4.8.1'), 0x040801)
  t.equal(parseSrv('3.1'), 0x030100)
})

t.test('service reference variants: anything else is 0', async (t) => {
  for (const text of [
    '',
    '4',
    '4.',
    '.4',
    '4..1',
    '4.1.',
    '4.1.1.1',
    '0.1',
    '4.0',
    '4.1.0',
    '256.1',
    '4.1 ',
    ' 4.1',
    '-4.1',
    '4.1\0',
    '4,1',
  ]) {
    t.equal(parseSrv(text), 0, JSON.stringify(text))
  }
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...'0123456789.'.split('')), maxLength: 12 }),
      (text) => {
        const parts = text.split('.').map(Number)
        const isSrv =
          /^\d+\.\d+(\.\d+)?$/.test(text) && parts.every((number) => number >= 1 && number <= 255)
        return (parseSrv(text) !== 0) === isSrv
      },
    ),
    { numRuns: 5_000 },
  )
  const view = Buffer.from('x4.8.1y')
  t.equal(parseSrvAt(view, 1, 6), 0x040801)
})

t.test('bytes: who shares and who copies', async (t) => {
  const owner = new Uint8Array([1, 2, 3, 4, 5, 6])
  const view = owner.subarray(2, 5)
  const shared = asBuffer(view)
  const copy = copyOf(view)
  t.equal(shared.buffer, owner.buffer, 'asBuffer shares')
  t.same([...shared], [3, 4, 5])
  t.equal(asBuffer(shared), shared, 'a Buffer stays itself')
  t.not(copy.buffer, owner.buffer, 'copyOf does not')
  owner[2] = 9
  t.equal(shared[0], 9)
  t.equal(copy[0], 3)
  t.equal(emptyBytes.length, 0)
})

t.test('FNV-1a: published values, and a range is as if it stood alone', async (t) => {
  // @source draft-eastlake-fnv, test vectors of FNV-1a with 32 bits
  t.equal(fnv1a32(Buffer.from('')), 0x811c9dc5)
  t.equal(fnv1a32(Buffer.from('a')), 0xe40c292c)
  t.equal(fnv1a32(Buffer.from('foobar')), 0xbf9cf968)
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), fc.uint8Array(), (before, own, after) => {
      const all = Buffer.concat([before, own, after])
      const start = before.length
      const whole = fnv1a32(own)
      return (
        fnv1a32(all, start, start + own.length) === whole &&
        fnv1a32(after, 0, after.length, whole) === fnv1a32(Buffer.concat([own, after]))
      )
    }),
  )
})

t.test('lanes are as many as they say', async (t) => {
  t.same(
    Object.values(Lane).toSorted(),
    Array.from({ length: laneCount }, (_, lane) => lane),
  )
})

t.test('limits are positive whole numbers', async (t) => {
  for (const [name, value] of Object.entries(limits))
    t.ok(Number.isSafeInteger(value) && value > 0, name)
})

t.test('host and port: IPv6 addresses stand in brackets', async (t) => {
  for (const [text, host, port] of [
    ['127.0.0.1:4059', '127.0.0.1', 4059],
    ['meter-7.example:0', 'meter-7.example', 0],
    ['[::1]:65535', '::1', 65_535],
    ['[fe80::1%eth0]:1', 'fe80::1%eth0', 1],
    ['[::ffff:10.0.0.1]:80', '::ffff:10.0.0.1', 80],
  ] as const) {
    t.same(parseHostPort(text), { host, port }, text)
    t.equal(formatHostPort(host, port), text)
  }
  for (const text of [
    '',
    ':1',
    'a',
    'a:',
    'a:65536',
    '::1:80',
    '[::1]',
    '[a]:1',
    'a b:1',
    '[::1]:1x',
  ])
    t.equal(parseHostPort(text), undefined, text)
  t.equal(formatHostPort('[::1]', 9), '[::1]:9', 'brackets are not doubled')
  t.equal(bareHost('[::1]'), '::1')
  t.equal(bareHost('host'), 'host')
})

t.test('a misspelt name is likely one that is near', async (t) => {
  const names = ['BUSBAR_DATA_DIR', 'BUSBAR_PARTIES', 'BUSBAR_PARTITIONS', 'BUSBAR_NATS_URL']
  for (const [given, meant] of [
    ['BUSBAR_DATADIR', 'BUSBAR_DATA_DIR'],
    ['busbar_data_dir', 'BUSBAR_DATA_DIR'],
    ['BUSBAR_DTAA_DIR', 'BUSBAR_DATA_DIR'],
    ['BUSBAR_PARTIES_FILE', 'BUSBAR_PARTIES'],
    ['BUSBAR_PARTITION', 'BUSBAR_PARTITIONS'],
    ['BUSBAR_NATS', 'BUSBAR_NATS_URL'],
    ['BUSBAR_SOMETHING', undefined],
    ['BUSBAR', undefined],
  ] as const)
    t.equal(likelyName(given, names), meant, given)
})
