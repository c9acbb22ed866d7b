/**
 * Meters that deviate, from the command line and through the WAN of a broker: the same meters, the
 * same profiles and fields of a record.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { readCommand, type ObjectOptions } from '../../../actors/cli/meter/meter-commands.ts'
import { meterOf } from '../../../actors/cli/meter/meter-options.ts'
import type { MeterOptions } from '../../../actors/cli/meter/option-texts.ts'
import { profileCommand, type ProfileOptions } from '../../../actors/cli/meter/meter-profile.ts'
import { countersFor, withKeys } from '../../../actors/device/keyring.ts'
import { startFleet } from '../../../actors/simulator/network/fleet.ts'
import {
  Conformance,
  conformanceSupported,
  DataAccessResult,
} from '../../../core/dlms/apdu/constants.ts'
import { encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { readDeviation, writeCosemDateTime } from '../../../core/dlms/axdr/date-time.ts'
import {
  decodeDescriptor,
  decodeSelection,
  encodeDescriptor,
} from '../../../core/dlms/apdu/descriptor.ts'
import { parseObis } from '../../../core/dlms/axdr/obis.ts'
import { DlmsServer, type CosemObjects } from '../../../core/dlms/server/server.ts'
import { wrapInPlace, WrapperReader } from '../../../core/dlms/framing/wrapper.ts'
import type { DeviceAddress } from '../../../core/ports/wan.ts'
import { SocketWan } from '../../../core/wan/sockets/socket-wan.ts'
import { clientTitle, keysOf, meterTitle } from '../../support/secured-pair.ts'
import { InvocationCounter, suites } from '../../../core/dlms/security/index.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import { vault } from '../../support/keys.ts'
import { deviceKey } from '../../support/envelopes.ts'

const plain: MeterOptions = { hex: false, json: false }

function terminal() {
  const said: string[] = []
  const notes: string[] = []
  return {
    said,
    notes,
    out: (line: string) => void said.push(line),
    err: (line: string) => void notes.push(line),
  }
}

/** Serves the wrapper with a server for each client on each connection; its port. */
async function serve(t: Test, serverOf: (client: number) => DlmsServer): Promise<number> {
  const sockets = new Set<Socket>()
  const listening = createServer((socket) => {
    sockets.add(socket)
    const reader = new WrapperReader()
    const servers = new Map<number, DlmsServer>()
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk)
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        const { source, destination, apduView } = frame
        const server = servers.get(source) ?? serverOf(source)
        servers.set(source, server)
        let answer = server.receive(Buffer.from(apduView))
        for (; answer !== undefined; answer = server.more())
          socket.write(wrapInPlace(answer, destination, source))
      }
    })
  }).listen(0, '127.0.0.1')
  await once(listening, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    listening.close()
  })
  return (listening.address() as AddressInfo).port
}

const startMs = Date.UTC(2026, 6, 15)
const octets = (value: Buffer): AxdrValue => ({ tag: Tag.OCTET_STRING, value })
function clockOf(utcMs: number): AxdrValue {
  const value = Buffer.alloc(12)
  writeCosemDateTime(value, 0, utcMs)
  return octets(value)
}
const rows = Array.from({ length: 8 }, (_, i): AxdrValue => ({
  tag: Tag.STRUCTURE,
  elements: [clockOf(startMs + i * 1_800_000), { tag: Tag.DOUBLE_LONG_UNSIGNED, value: i }],
}))
const columns: AxdrValue = {
  tag: Tag.ARRAY,
  elements: [
    [8, '0-0:1.0.0.255'],
    [1, '0-0:96.1.0.255'],
  ].map(([classId, obis]): AxdrValue => ({
    tag: Tag.STRUCTURE,
    elements: [
      { tag: Tag.LONG_UNSIGNED, value: classId as number },
      octets(parseObis(obis as string)),
      { tag: Tag.INTEGER, value: 2 },
      { tag: Tag.LONG_UNSIGNED, value: 0 },
    ],
  })),
}

/** A profile of eight half hours; `rangeOf` gives the rows for a selection, or a refusal. */
function profileMeter(
  rangeOf: (selectionView: Buffer | undefined) => AxdrValue[] | number,
): CosemObjects {
  return {
    get(descriptorView, selectionView) {
      const { classId, memberId } = decodeDescriptor(descriptorView)
      if (classId !== 7) return DataAccessResult.OBJECT_UNDEFINED
      if (memberId === 3) return encodeValue(columns)
      if (memberId === 4) return encodeValue({ tag: Tag.DOUBLE_LONG_UNSIGNED, value: 1_800 })
      if (memberId !== 2) return DataAccessResult.OBJECT_UNDEFINED
      const given = rangeOf(selectionView)
      return typeof given === 'number' ? given : encodeValue({ tag: Tag.ARRAY, elements: given })
    },
    set: () => 0,
    invoke: () => ({ result: 0 }),
  }
}

async function rowsOf(port: number, options: Partial<ProfileOptions>) {
  const shown = terminal()
  await profileCommand(`127.0.0.1:${port}`, '1-0:99.1.0.255', { ...plain, ...options }, shown)
  return { count: shown.said.length - 1, first: shown.said[1] ?? '', notes: shown.notes.join() }
}

const half = { from: '2026-07-15T00:00:00Z', to: '2026-07-15T01:00:00Z' }

t.test('selective access that the meter does not agree to: read whole, and cut here', async (t) => {
  const conformance = conformanceSupported & ~Conformance.SELECTIVE_ACCESS
  const selections: unknown[] = []
  const objects = profileMeter((selection) => (selections.push(selection), rows))
  const port = await serve(t, () => new DlmsServer({ objects, conformance }))
  const ranged = await rowsOf(port, half)
  t.equal(ranged.count, 3)
  t.match(ranged.notes, /takes no selective access: its buffer was read whole, 5 rows left out/)
  t.match(await rowsOf(port, { entries: '2-3' }), { count: 2, first: /00:30/ })
  t.match(await rowsOf(port, { entries: '7-0' }), { count: 2 })
  t.same(selections, [undefined, undefined, undefined], 'no selector went out')
})

t.test('a meter that ignores the range: cut, and said', async (t) => {
  const objects = profileMeter(() => rows)
  const port = await serve(t, () => new DlmsServer({ objects }))
  const ranged = await rowsOf(port, half)
  t.equal(ranged.count, 3)
  t.match(ranged.notes, /sent 5 rows outside of what was asked for/)
  t.match(await rowsOf(port, { entries: '2-3' }), { count: 2, first: /00:30/, notes: /6 rows/ })
  t.match(await rowsOf(port, {}), { count: 8, notes: '' })
})

t.test('a meter that takes bounds without deviation only', async (t) => {
  const bounds: string[] = []
  const objects = profileMeter((view) => {
    const selection = view && decodeSelection(view)
    if (selection?.type !== 'range') return DataAccessResult.TYPE_UNMATCHED
    const [from, to] = [selection.from, selection.to].map((one) => (one as { value: Buffer }).value)
    if (readDeviation(from!, 0) !== -0x8000) return DataAccessResult.TYPE_UNMATCHED
    bounds.push(from!.toString('hex', 0, 8), to!.toString('hex', 0, 8))
    return rows.slice(0, 3)
  })
  const port = await serve(t, () => new DlmsServer({ objects }))
  await t.rejects(rowsOf(port, half), { code: 'DEVICE_REFUSED', detail: 'type-unmatched' })
  const profile = 'range-without-deviation'
  t.equal((await rowsOf(port, { ...half, profile, timeZone: 'Europe/Berlin' })).count, 3)
  t.same(bounds, ['07ea070f03020000', '07ea070f03030000'])
  await t.rejects(rowsOf(port, { ...half, profile }), {
    code: 'CONFIG_INVALID',
    detail: /needs --time-zone/,
  })
  await t.rejects(rowsOf(port, { ...half, timeZone: 'Mars/X' }), {
    code: 'CONFIG_INVALID',
    detail: /--time-zone must be an IANA/,
  })
})

t.test('options are checked as the fields of a record', async (t) => {
  for (const [options, detail] of [
    [{ profile: 'standard+nobody' }, /--profile: "nobody" is no device profile/],
    [{ counterObject: '1-0:1.8.0.255' }, /--counter-object must be an invocation counter object/],
    [{ counterClient: '0' }, /--counter-client must be a whole number/],
    [{ counter: '-1' }, /--counter must be a whole number from 0/],
    [{ conformance: '7e1f' }, /--conformance must be six hexadecimal digits/],
    [{ shortNames: '{' }, /--short-names must be JSON/],
    [{ shortNames: '{"x":1}' }, /--short-names must be an object/],
    [{ modeE: true }, /mode E needs --transport hdlc/],
    [{ profile: 'mode-e' }, /mode E needs --transport hdlc/],
    [{ modeE: 'a!', transport: 'hdlc' }, /--mode-e must be up to 32 letters/],
    [{ modeEBaudMax: '1', transport: 'hdlc' }, /--mode-e-baud-max must be one of/],
  ] as [Partial<MeterOptions>, RegExp][])
    await t.rejects(
      meterOf('127.0.0.1:1', { ...plain, ...options }),
      { code: 'CONFIG_INVALID', detail },
      JSON.stringify(options),
    )
})

// ── the invocation counter ──

const energy = encodeDescriptor({ classId: 3, instanceId: '1-0:1.8.0.255', memberId: 2 })
const keys = keysOf(0)
const kwh = encodeValue({ tag: Tag.DOUBLE_LONG_UNSIGNED, value: 42 })

/** Tells `last` in `place` to its client `reader` alone, and takes counters above it. */
function counterMeter(place: string, reader: number, last: number): (client: number) => DlmsServer {
  const counterObject = encodeDescriptor({ classId: 1, instanceId: place, memberId: 2 })
  const told = encodeValue({ tag: Tag.DOUBLE_LONG_UNSIGNED, value: last })
  const one = (descriptor: Buffer, value: Buffer): CosemObjects => ({
    get: (asked) => (asked.equals(descriptor) ? value : DataAccessResult.OBJECT_UNDEFINED),
    set: () => 0,
    invoke: () => ({ result: 0 }),
  })
  return (client) =>
    client === reader
      ? new DlmsServer({ objects: one(counterObject, told) })
      : new DlmsServer({
          objects: one(energy, kwh),
          random: seededRandom(3),
          security: {
            suite: suites[0],
            ownTitle: meterTitle,
            keys: keys.meter,
            counters: { unicast: new InvocationCounter(1), session: new InvocationCounter(1) },
            policy: { request: 0x30, response: 0 },
          },
        })
}

const secured: ObjectOptions = {
  ...plain,
  suite: '0',
  client: '1',
  unicastKey: keys.client.unicast!.copyOfOctets().toString('hex'),
  authenticationKey: keys.client.authentication!.copyOfOctets().toString('hex'),
  systemTitle: clientTitle.toString('hex'),
  class: '3',
}

t.test('a counter that is told elsewhere: by profile, and by place and client', async (t) => {
  const port = await serve(t, counterMeter('0-0:43.1.3.255', 16, 4_096))
  const read = (options: Partial<ObjectOptions>) => {
    const shown = terminal()
    return readCommand(
      `127.0.0.1:${port}`,
      '1-0:1.8.0.255',
      { ...secured, ...options },
      shown,
    ).then(() => shown.said[0])
  }
  await t.rejects(read({}), { code: 'DEVICE_ANSWER_INVALID', detail: /0-0:43.1.0.255/ })
  t.match(await read({ profile: 'counter-for-settings' }), /42/)
  t.match(await read({ counterObject: '0-0:43.1.3.255' }), /42/)
  t.match(await read({ counter: '5000' }), /42/)
  const other = await serve(t, counterMeter('0-0:43.1.8.255', 48, 7))
  const shown = terminal()
  const place = { counterObject: '0-0:43.1.8.255', counterClient: '48' }
  await readCommand(`127.0.0.1:${other}`, '1-0:1.8.0.255', { ...secured, ...place }, shown)
  t.match(shown.said[0], /42/)
})

t.test('the first counter of a record is a floor for what is reserved', async (t) => {
  const set = withKeys(undefined, vault.seal(deviceKey(7), {})).current!
  const reservations: [number, number][] = []
  const reserve = (from: number, to: number): void => {
    reservations.push([from, to])
    set.reservedTo = to
  }
  const first = countersFor(set, 2 ** 32, reserve, 5_000)
  t.equal(first?.from, 5_000)
  t.same(reservations, [[5_000, first?.to]])
  set.next = 5_003
  t.equal(countersFor(set, 2 ** 32, reserve, 5_000)?.from, 5_003, 'and goes on')
  t.equal(countersFor(set, 2 ** 32, reserve)?.from, 5_003)
})

t.test('through the WAN of a broker, by the fields of a record', async (t) => {
  const port = await serve(t, counterMeter('0-0:43.1.8.255', 48, 7))
  const wan = new SocketWan({ keys: vault, sweepMs: 20 })
  t.teardown(() => wan.close())
  const device = deviceKey(7)
  const { unicast, authentication } = keys.client
  const sealedKeys = vault.seal(device, { unicast: unicast!, authentication: authentication! })
  const address: DeviceAddress = {
    host: '127.0.0.1',
    port,
    logicalDevice: 1,
    client: 1,
    security: { suite: 0, mechanism: 0, protection: 0x30, clientTitle },
    counter: { obis: '0-0:43.1.8.255', client: 48 },
  }
  const operations = [{ kind: 'get' as const, descriptor: energy }]
  const security = { device, sealedKeys, counters: { from: 0, to: 100, received: -1 } }
  const answer = await wan.exchange(address, { cosem: operations }, 1, security)
  t.match(answer, { ok: true, results: [{ result: 0, value: kwh }] })
  t.ok((answer.counters?.next ?? 0) > 8, 'above what the meter told')
})

// ── short names, mode E ──

const base = 0x2af8
const list: AxdrValue = {
  tag: Tag.ARRAY,
  elements: [
    {
      tag: Tag.STRUCTURE,
      elements: [
        { tag: Tag.LONG, value: base },
        { tag: Tag.LONG_UNSIGNED, value: 3 },
        { tag: Tag.UNSIGNED, value: 0 },
        octets(parseObis('1-0:1.8.0.255')),
      ],
    },
  ],
}

t.test('short names: from the object list, or as data', async (t) => {
  const listObject = encodeDescriptor({ classId: 12, instanceId: '0-0:40.0.0.255', memberId: 2 })
  let lists = 0
  const objects: CosemObjects = {
    get: (asked) => {
      if (asked.equals(listObject) && ++lists > 0) return encodeValue(list)
      return asked.equals(energy) ? kwh : DataAccessResult.OBJECT_UNDEFINED
    },
    set: () => 0,
    invoke: () => ({ result: 0 }),
  }
  const memberOf = (name: number) =>
    name === 0xfa08
      ? { kind: 'attribute' as const, descriptor: listObject }
      : name === base + 8
        ? { kind: 'attribute' as const, descriptor: energy }
        : undefined
  const port = await serve(t, () => new DlmsServer({ objects, memberOf }))
  const read = async (options: Partial<ObjectOptions>): Promise<string | undefined> => {
    const shown = terminal()
    const asked = { ...plain, class: '3', ...options }
    await readCommand(`127.0.0.1:${port}`, '1-0:1.8.0.255', asked, shown)
    return shown.said[0]
  }
  t.match(await read({ profile: 'short-names' }), /42/)
  t.equal(lists, 1)
  t.match(await read({ shortNames: `{"1-0:1.8.0.255": ${base}}` }), /42/)
  t.equal(lists, 1, 'not read')
  const wan = new SocketWan({ sweepMs: 20 })
  t.teardown(() => wan.close())
  const address = { host: '127.0.0.1', port, logicalDevice: 1, client: 16 }
  const operations = [{ kind: 'get' as const, descriptor: energy }]
  const good = { ok: true, results: [{ result: 0, value: kwh }] }
  for (let i = 0; i < 2; i++)
    t.match(
      await wan.exchange({ ...address, profile: 'short-names' }, { cosem: operations }, 1),
      good,
    )
  t.equal(lists, 2, 'once on a connection')
  const given = { ...address, shortNames: { '1-0:1.8.0.255': base } }
  t.match(await wan.exchange(given, { cosem: operations }, 1), good)
})

/**
 * A meter behind an optical head: HDLC of `port` once mode E was opened. What was signed on with is
 * in `opened`.
 */
async function modeEMeter(t: Test, port: number, opened: string[]): Promise<number> {
  const sockets = new Set<Socket>()
  const listening = createServer((socket) => {
    let text = ''
    sockets.add(socket)
    socket.on('error', () => undefined)
    const onText = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      if (!text.endsWith('\r\n')) return
      opened.push(text.trim())
      if (text.startsWith('/?')) socket.write('/BBR5\\2METER\r\n')
      else {
        socket.write(text)
        socket.off('data', onText)
        const meter = connect(port, '127.0.0.1')
        sockets.add(meter)
        meter.on('error', () => undefined)
        socket.pipe(meter).pipe(socket)
      }
      text = ''
    }
    socket.on('data', onText)
  }).listen(0, '127.0.0.1')
  await once(listening, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    listening.close()
  })
  return (listening.address() as AddressInfo).port
}

t.test('mode E in front of HDLC: by profile, and with an address', async (t) => {
  const fleet = await startFleet({
    meters: 1,
    seed: 3,
    gasShare: 0,
    gasProxyShare: 0,
    solarShare: 0,
    secretShare: 0,
    transport: 'hdlc',
  })
  t.teardown(() => fleet.close())
  const logicalDevice = String(fleet.device(0).record.address.logicalDevice)
  const opened: string[] = []
  const port = await modeEMeter(t, fleet.ports[0]!, opened)
  for (const options of [
    { profile: 'mode-e' },
    { modeE: '12345678', modeEBaudMax: '2400' },
  ] as Partial<ObjectOptions>[]) {
    const shown = terminal()
    const asked = { ...plain, transport: 'hdlc', logicalDevice, ...options }
    await readCommand(`127.0.0.1:${port}`, '1-0:1.8.0.255', asked, shown)
    t.match(shown.said[0], /Wh$/)
  }
  t.same(opened, ['/?!', '\x06252', '/?12345678!', '\x06232'])
  const wan = new SocketWan({ sweepMs: 20 })
  t.teardown(() => wan.close())
  const address: DeviceAddress = {
    host: '127.0.0.1',
    port,
    logicalDevice: Number(logicalDevice),
    client: 16,
    transport: 'hdlc',
    modeE: { deviceAddress: '7' },
  }
  const operations = [{ kind: 'get' as const, descriptor: energy }]
  for (let i = 0; i < 2; i++)
    t.match(await wan.exchange(address, { cosem: operations }, 1), {
      ok: true,
      results: [{ result: 0 }],
    })
  t.same(opened.slice(4), ['/?7!', '\x06252'], 'opened once')
})
