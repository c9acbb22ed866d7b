/** `busbar meter` against simulated meters over real sockets: read, write, invoke, objects, profile; in the clear and under every suite; and what goes wrong. */
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import {
  invokeCommand,
  objectsCommand,
  profileCommand,
  readCommand,
  writeCommand,
  type ProfileOptions,
} from '../../../actors/cli/meter-commands.ts'
import type { MeterOptions } from '../../../actors/cli/meter-options.ts'
import { startFleet } from '../../../actors/simulator/fleet.ts'

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
  const profile = terminal()
  const day = { ...plain, from: '2026-11-24T00:00:00Z', to: '2026-11-24T02:00:00Z' }
  await profileCommand(address, '1-0:99.1.0.255', day, profile)
  t.equal(profile.said.length, 1 + 5, 'names, and five half hours')
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
