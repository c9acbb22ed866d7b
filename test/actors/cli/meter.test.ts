/**
 * `busbar meter` against simulated meters over real sockets: read, write, invoke, objects, profile;
 * over each transport; under suites; and what goes wrong.
 */
import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  invokeCommand,
  objectsCommand,
  readCommand,
  writeCommand,
} from '../../../actors/cli/meter/meter-commands.ts'
import { profileCommand, type ProfileOptions } from '../../../actors/cli/meter/meter-profile.ts'
import type { MeterOptions } from '../../../actors/cli/meter/option-texts.ts'
import { withAdvice } from '../../../actors/cli/meter/meter-advice.ts'
import { startFleet } from '../../../actors/simulator/network/fleet.ts'
import { pushBytes } from '../../../actors/simulator/network/outgoing.ts'
import { usualClassOf } from '../../../core/dlms/cosem/index.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { ApduTag, Conformance } from '../../../core/dlms/apdu/constants.ts'
import { DlmsServer, type CosemObjects } from '../../../core/dlms/server/server.ts'
import {
  readWrapperDatagram,
  wrapInPlace,
  WrapperReader,
} from '../../../core/dlms/framing/wrapper.ts'

const plain: MeterOptions = {
  client: '16',
  logicalDevice: '1',
  protection: 'both',
  systemTitle: '4255530000000001',
  hex: false,
  json: false,
}

/** What a command prints. */
function terminal() {
  const said: string[] = []
  const complained: string[] = []
  return {
    said,
    complained,
    out: (line: string) => void said.push(line),
    err: (line: string) => void complained.push(line),
  }
}

const quiet = { gasShare: 0, gasProxyShare: 0, solarShare: 0, secretShare: 0 }

t.test('a meter in the clear', async (t) => {
  const fleet = await startFleet({ meters: 1, seed: 3, ...quiet })
  t.teardown(() => fleet.close())
  const address = `127.0.0.1:${fleet.ports[0]}`
  const read = terminal()
  await readCommand(address, '1-0:1.8.0.255', plain, read)
  t.match(read.said[0], /active energy import .* Register value: \d+ Wh$/)
  const hex = terminal()
  await readCommand(
    address,
    '0-0:1.0.0.255',
    { ...plain, class: '8', attribute: 'time', hex: true, json: true },
    hex,
  )
  t.match(JSON.parse(hex.said[0]!), { className: 'Clock', name: 'time' })
  t.match(hex.complained[0], /^> 00010010000100/, 'the AARQ in its wrapper')
  t.ok(hex.complained.some((line) => line.startsWith('< ')))

  const objects = terminal()
  await objectsCommand(address, plain, objects)
  t.ok(objects.said.some((line) => /^1-0:1\.8\.0\.255 +Register 3 v0 .* read 1,2,3$/.test(line)))
  for (const line of objects.said) {
    const [obis, , classId] = /^(\S+) +(.*?) (\d+) v\d/.exec(line)!.slice(1)
    t.equal(usualClassOf(obis!), Number(classId), line)
  }
  const profile = terminal()
  const day = { ...plain, from: '2026-11-24T00:00:00Z', to: '2026-11-24T02:00:00Z' }
  await profileCommand(address, '1-0:99.1.0.255', day, profile)
  t.equal(profile.said.length, 1 + 5, 'names, and five half hours')
  t.match(
    profile.said[0],
    /\(0-0:1\.0\.0\.255\)\t.*\(1-0:1\.8\.0\.255\)$/,
    'codes beside the names',
  )
  t.match(profile.said[1], /2026-11-24 Tue 00:00.*\t\d+ Wh$/)
  const wrong: ProfileOptions = { ...plain, entries: 'some' }
  await t.rejects(profileCommand(address, '1-0:99.1.0.255', wrong, terminal()), {
    code: 'CONFIG_INVALID',
  })

  const written = terminal()
  await writeCommand(
    address,
    '0-0:1.0.0.255',
    'internal_crystal',
    { ...plain, class: '8', attribute: 'clock_base' },
    written,
  )
  t.same(written.said, ['written'])
  const invoked = terminal()
  await invokeCommand(
    address,
    '0-0:96.3.10.255',
    undefined,
    { ...plain, class: '70', method: 'remote_disconnect' },
    invoked,
  )
  t.same(invoked.said, ['done'])
  t.notOk(fleet.meter(0).isConnected)
  await t.rejects(readCommand(address, '1-0:99.99.0.255', plain, terminal()), {
    code: 'DEVICE_REFUSED',
    detail: 'object-undefined',
  })
})

t.test('over UDP and HDLC', async (t) => {
  for (const transport of ['udp', 'hdlc'] as const) {
    const fleet = await startFleet({ meters: 2, seed: 3, ...quiet, transport })
    t.teardown(() => fleet.close())
    const { logicalDevice } = fleet.device(1).record.address
    const address = `127.0.0.1:${fleet.ports[0]}`
    const options = { ...plain, transport, logicalDevice: String(logicalDevice), hex: true }
    const objects = terminal()
    await objectsCommand(address, options, objects)
    t.ok(objects.said.length > 10)
    const profile = terminal()
    const day = { from: '2026-11-22T00:00:00Z', to: '2026-11-24T00:00:00Z' }
    await profileCommand(address, '1-0:99.1.0.255', { ...options, ...day }, profile)
    t.equal(profile.said.length, 1 + 97, `two days over ${transport}`)
    const [opening, answer] = profile.complained
    t.match(opening, transport === 'hdlc' ? /^> 7ea0.*7e$/ : /^> 0001001000020/)
    t.match(answer, transport === 'hdlc' ? /^< 7ea0.*7e$/ : /^< 0001000200100/)
    if (transport === 'hdlc') t.match(profile.complained.at(-1), /^< 7ea0.*73.*7e$/, 'UA to DISC')
  }
})

t.test('HDLC addresses as people write them, and what is wrong with them', async (t) => {
  const fleet = await startFleet({ meters: 1, seed: 3, ...quiet, transport: 'hdlc' })
  t.teardown(() => fleet.close())
  const address = `127.0.0.1:${fleet.ports[0]}`
  const hdlc = { ...plain, transport: 'hdlc' }
  for (const options of [
    { logicalDevice: '1/16' },
    { logicalDevice: '144' },
    { logicalDevice: '1/16', hdlcAddressOctets: '4' },
    { logicalDevice: '1/16', profile: 'hdlc-wide+hdlc-not-proposing' },
  ]) {
    const read = terminal()
    await readCommand(address, '1-0:1.8.0.255', { ...hdlc, ...options }, read)
    t.match(read.said[0], /Wh$/, JSON.stringify(options))
  }
  for (const options of [
    { logicalDevice: '1/x' },
    { logicalDevice: '1/99999' },
    { logicalDevice: '1/16', hdlcAddressOctets: '1' },
    { hdlcAddressOctets: '3' },
    { client: '200' },
  ])
    await t.rejects(
      readCommand(address, '1-0:1.8.0.255', { ...hdlc, ...options }, terminal()),
      { code: 'CONFIG_INVALID' },
      JSON.stringify(options),
    )
  // Which of the two time limits is over first is chance on a busy machine.
  const nobody = { ...hdlc, logicalDevice: '1/99', waitMs: '20' }
  await t.rejects(readCommand(address, '1-0:1.8.0.255', nobody, terminal()), {
    code: /^(DLMS_HDLC|DEVICE)_SILENT$/,
  })
})

t.test('a notification between question and answer is shown', async (t) => {
  const fleet = await startFleet({ meters: 1, seed: 3, ...quiet })
  t.teardown(() => fleet.close())
  const meter = createServer((socket) => {
    const dlms = new DlmsServer({ objects: fleet.meter(0) })
    const reader = new WrapperReader()
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk)
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        const isGet = frame.apduView[0] === ApduTag.GET_REQUEST
        if (isGet) socket.write(pushBytes(fleet.meter(0), 'event').fill(16, 5, 6))
        socket.write(wrapInPlace(dlms.receive(frame.apduView)!, 1, 16))
      }
    })
  })
  meter.listen(0, '127.0.0.1')
  await once(meter, 'listening')
  t.teardown(() => meter.close())
  const read = terminal()
  await readCommand(
    `127.0.0.1:${(meter.address() as AddressInfo).port}`,
    '1-0:1.8.0.255',
    plain,
    read,
  )
  t.match(read.said[0], /Wh$/)
  t.match(
    read.complained[0],
    /^note: it sent meanwhile: event-notification-request .*0-0:97\.98\.0\.255/,
  )
})

/**
 * A meter over UDP that answers in general blocks of few octets; `lose` says which of its frames
 * get lost, from 0 on.
 */
async function datagramMeter(
  t: Test,
  meter: CosemObjects,
  lose: (frameIndex: number) => boolean,
): Promise<{ address: string; isLost: () => boolean }> {
  const { GET, GENERAL_BLOCK_TRANSFER } = Conformance
  const dlms = new DlmsServer({
    objects: meter,
    conformance: GET | GENERAL_BLOCK_TRANSFER,
    apduBytesMax: 128,
  })
  const socket = createSocket('udp4')
  let frameIndex = 0
  let isLost = false
  socket.on('message', (datagram, { address, port }) => {
    // Somebody's noise, each time.
    socket.send(Buffer.of(0, 1, 2), port, address)
    const { apduView } = readWrapperDatagram(datagram)
    for (let apdu = dlms.receive(apduView); apdu !== undefined; apdu = dlms.more())
      if (lose(frameIndex++)) isLost = true
      else socket.send(wrapInPlace(apdu, 1, 16), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => void socket.close())
  return { address: `127.0.0.1:${socket.address().port}`, isLost: () => isLost }
}

t.test(
  'over UDP noise is passed over, and a general block that was lost comes again',
  async (t) => {
    const fleet = await startFleet({ meters: 1, seed: 3, ...quiet })
    t.teardown(() => fleet.close())
    // Its AARE, and two blocks of its object list.
    const meter = await datagramMeter(t, fleet.meter(0), (frameIndex) => frameIndex === 3)
    const objects = terminal()
    const options = { ...plain, transport: 'udp', waitMs: '2000', hex: true } as const
    await objectsCommand(meter.address, options, objects)
    t.ok(objects.said.length > 10)
    t.ok(meter.isLost())
    t.ok(objects.complained.includes('< 000102'), 'noise is shown')
  },
)

t.test('over UDP what is lost again and again ends as silence', async (t) => {
  const fleet = await startFleet({ meters: 1, seed: 3, ...quiet })
  t.teardown(() => fleet.close())
  const meter = await datagramMeter(t, fleet.meter(0), (frameIndex) => frameIndex >= 3)
  const options = { ...plain, transport: 'udp', waitMs: '40' } as const
  await t.rejects(objectsCommand(meter.address, options, terminal()), { code: 'DEVICE_SILENT' })
})

t.test('under every suite, its counter asked of the meter', async (t) => {
  for (const suite of [0, 1, 2] as const) {
    const securityShares: [number, number, number] = [0, 0, 0]
    securityShares[suite] = 1
    const fleet = await startFleet({ meters: 1, seed: 3, ...quiet, securityShares })
    t.teardown(() => fleet.close())
    const { unicast, authentication } = fleet.device(0).keys!
    const hexOf = (octets: Uint8Array | undefined): string => Buffer.from(octets!).toString('hex')
    const options: MeterOptions = {
      ...plain,
      client: '1',
      suite: String(suite),
      mechanism: '5',
      unicastKey: hexOf(unicast),
      authenticationKey: hexOf(authentication),
      systemTitle: '4253420000000001',
    }
    const address = `127.0.0.1:${fleet.ports[0]}`
    for (let again = 0; again < 2; again++) {
      const read = terminal()
      await readCommand(address, '1-0:1.8.0.255', options, read)
      t.match(read.said[0], /\d+ Wh$/, `suite ${suite}`)
    }
    await t.rejects(
      readCommand(
        address,
        '1-0:1.8.0.255',
        { ...options, authenticationKey: hexOf(unicast) },
        terminal(),
      ),
      { code: 'DLMS_ASSOCIATION_REFUSED' },
    )
    await t.rejects(
      readCommand(address, '1-0:1.8.0.255', { ...options, counter: '0' }, terminal()),
      /./,
      'a counter that was used',
    )
  }
})

t.test('what goes wrong is one error with a code', async (t) => {
  const bad = (options: Partial<MeterOptions>, address = '127.0.0.1:1') =>
    readCommand(address, '1-0:1.8.0.255', { ...plain, ...options }, terminal())
  await t.rejects(bad({}, 'nowhere'), { code: 'CONFIG_INVALID' })
  await t.rejects(bad({ client: 'x' }), { code: 'CONFIG_INVALID' })
  await t.rejects(bad({ protection: 'much' }), { code: 'CONFIG_INVALID' })
  await t.rejects(bad({ suite: '3' }), { code: 'CONFIG_INVALID' })
  await t.rejects(bad({ suite: '0', unicastKey: '00' }), { code: 'CONFIG_INVALID' })
  await t.rejects(bad({ suite: '0', systemTitle: '00' }), { code: 'CONFIG_INVALID' })
  await t.rejects(bad({ counter: '-1' }), { code: 'CONFIG_INVALID' })
  await t.rejects(bad({}), { code: 'DEVICE_UNREACHABLE' })
  await t.rejects(readCommand('127.0.0.1:1', 'no name', plain, terminal()), {
    code: 'DLMS_VALUE_INVALID',
  })
  const rude = createServer((socket) => socket.end())
  rude.listen(0, '127.0.0.1')
  await once(rude, 'listening')
  t.teardown(() => rude.close())
  await t.rejects(bad({}, `127.0.0.1:${(rude.address() as AddressInfo).port}`), {
    code: 'DEVICE_SILENT',
  })
})

t.test('a meter that tells which counter it expects is quoted', async (t) => {
  const meter = createServer((socket) => {
    socket.on('data', () => socket.write(Buffer.from('0001000100010007d80106000003eb', 'hex')))
  })
  meter.listen(0, '127.0.0.1')
  await once(meter, 'listening')
  t.teardown(() => meter.close())
  const key = '00'.repeat(16)
  const options = { suite: '0', unicastKey: key, authenticationKey: key, client: '1', counter: '5' }
  await t.rejects(
    readCommand(
      `127.0.0.1:${(meter.address() as AddressInfo).port}`,
      '1-0:1.8.0.255',
      { ...plain, ...options },
      terminal(),
    ),
    { code: 'DLMS_ASSOCIATION_REFUSED', detail: /expects the counter 1003: give --counter 1003/ },
  )
})

t.test('faults say what to do with one meter', async (t) => {
  const silent = withAdvice(new BrokerError('DEVICE_SILENT', 'no answer within 5 ms'))
  t.match(String(silent), /DEVICE_SILENT: .*\(no answer within 5 ms\) Check --transport/)
  const wrong = withAdvice(new BrokerError('CONFIG_INVALID', '--client is odd'))
  t.match(wrong, { name: 'UsageFault', message: /^CONFIG_INVALID: --client is odd\. --help/ })
  const other = new Error('ours')
  t.equal(withAdvice(other), other)
})

t.test('as a command: wrong usage ends with 2, a fault with 1', async (t) => {
  const busbar = join(import.meta.dirname, '../../../actors/main.ts')
  for (const [given, status, said] of [
    [['--client', 'x'], 2, /CONFIG_INVALID: --client must be/],
    [['--nonsense'], 2, /unknown option/],
    [[], 1, /DEVICE_UNREACHABLE: .* Check host and port/],
  ] as const) {
    const ended = spawnSync(
      process.execPath,
      [busbar, 'meter', 'read', '127.0.0.1:1', '1-0:1.8.0.255', ...given],
      { encoding: 'utf8' },
    )
    t.equal(ended.status, status)
    t.match(ended.stderr, said)
  }
})
