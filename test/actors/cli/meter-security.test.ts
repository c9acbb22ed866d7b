/**
 * `busbar meter` against servers of every mechanism of authentication, suite and shape of
 * protection; keys from a file and from an inventory.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readCommand } from '../../../actors/cli/meter/meter-commands.ts'
import type { MeterOptions } from '../../../actors/cli/meter/option-texts.ts'
import { startFleet } from '../../../actors/simulator/network/fleet.ts'
import { formatDevice } from '../../../actors/simulator/network/fleet-process.ts'
import { simulatedClientTitle } from '../../../actors/simulator/model/meter-keys.ts'
import { blockCipherProof } from '../../../core/dlms/security/index.ts'
import { DlmsServer, type ServerOptions } from '../../../core/dlms/server/server.ts'
import { wrapInPlace, WrapperReader } from '../../../core/dlms/framing/wrapper.ts'
import { systemRandom } from '../../../core/ports/random.ts'

const quiet = { gasShare: 0, gasProxyShare: 0, solarShare: 0, secretShare: 0 }
const folder = mkdtempSync(join(tmpdir(), 'busbar-'))
t.teardown(() => rmSync(folder, { recursive: true }))

/** A fleet of one meter under a suite, with its keys in a file and its inventory. */
async function meterUnder(t: Test, suite: 0 | 1 | 2) {
  const securityShares: [number, number, number] = [0, 0, 0]
  securityShares[suite] = 1
  const fleet = await startFleet({ meters: 1, seed: 3, ...quiet, securityShares })
  t.teardown(() => fleet.close())
  const device = JSON.parse(formatDevice(fleet.device(0))) as { eui64: string; keys: object }
  const keys = join(folder, `keys-${suite}.json`)
  const devices = join(folder, `devices-${suite}.jsonl`)
  writeFileSync(keys, JSON.stringify(device.keys))
  writeFileSync(devices, `\n${JSON.stringify(device)}\n`)
  return { fleet, keys, devices, eui64: device.eui64, address: `127.0.0.1:${fleet.ports[0]}` }
}

/** Listens for one client after another, each with an association of its own. */
async function serve(t: Test, options: ServerOptions): Promise<string> {
  const server = createServer((socket) => {
    const dlms = new DlmsServer(options)
    const reader = new WrapperReader()
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk)
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        const { source, destination } = frame
        const answer = dlms.receive(frame.apduView)
        for (let apdu = answer; apdu !== undefined; apdu = dlms.more())
          socket.write(wrapInPlace(apdu, destination, source))
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function read(
  address: string,
  options: Partial<MeterOptions>,
  traced: string[] = [],
): Promise<string> {
  const said: string[] = []
  await readCommand(
    address,
    '1-0:1.8.0.255',
    { hex: false, json: false, ...options },
    { out: (line) => void said.push(line), err: (line) => void traced.push(line) },
  )
  return said.join('\n')
}

const systemTitle = simulatedClientTitle.toString('hex')

t.test('every mechanism of authentication, in the clear and ciphered', async (t) => {
  const meters = [await meterUnder(t, 0), await meterUnder(t, 1), await meterUnder(t, 2)]
  const secret = Buffer.from('a password', 'latin1')
  const password = 'a password'
  for (const [suite, { fleet, keys }] of meters.entries())
    for (const mechanism of [0, 1, 2, 3, 4, 5, 6, 7] as const) {
      // ECDSA has no curve in suite 0.
      if (mechanism === 7 && suite === 0) continue
      for (const isCiphered of [false, true]) {
        const security = {
          ...fleet.meter(0).security!.forAssociation,
          isCipheringNeeded: isCiphered,
        }
        const policy = isCiphered ? security.policy : { request: 0, response: 0 }
        const address = await serve(t, {
          objects: fleet.meter(0),
          mechanism,
          secret,
          random: systemRandom,
          makerProof: blockCipherProof,
          security: { ...security, policy },
        })
        const name = `mechanism ${mechanism}, suite ${suite}, ${isCiphered ? 'ciphered' : 'clear'}`
        const options: Partial<MeterOptions> = {
          client: '1',
          suite: String(suite),
          keys,
          systemTitle,
          // Mechanism 6 proves a statement with both titles in it.
          meterTitle: '00db100000000001',
          mechanism: String(mechanism),
          protection: isCiphered ? 'both' : 'none',
          counter: String(security.windows!.unicast!.last + 1),
          ...([1, 2, 3, 4, 6].includes(mechanism) && { password }),
        }
        t.match(await read(address, options), /\d+ Wh$/, name)
        if (![0, 5, 7].includes(mechanism))
          await t.rejects(
            read(address, {
              ...options,
              counter: String(security.windows!.unicast!.last + 1),
              password: 'another',
            }),
            { code: /DLMS_ASSOCIATION_REFUSED|DLMS_AUTHENTICATION_FAILED|DLMS_EXCEPTION/ },
            `${name}, another password`,
          )
      }
    }
  // Without a suite, in the clear.
  for (const mechanism of [1, 2, 3, 4] as const) {
    const objects = meters[0]!.fleet.meter(0)
    const address = await serve(t, {
      objects,
      mechanism,
      secret,
      random: systemRandom,
      makerProof: blockCipherProof,
    })
    t.match(
      await read(address, { mechanism: String(mechanism), password }),
      /Wh$/,
      `mechanism ${mechanism}`,
    )
  }
})

t.test('shapes of protection, keys from a file', async (t) => {
  for (const suite of [0, 1, 2] as const) {
    const { address, keys } = await meterUnder(t, suite)
    const base = { client: '1', suite: String(suite), keys, systemTitle, mechanism: '5' }
    const shapes: Partial<MeterOptions>[] = [
      {},
      { profile: 'general-ciphering' },
      { profile: 'dedicated-key' },
      { profile: 'general-dedicated-key+one-by-one' },
      { generalCiphering: 'unicast' },
      { generalCiphering: 'wrapped' },
    ]
    const withCurves: Partial<MeterOptions>[] = [
      { generalCiphering: 'one-pass' },
      { generalCiphering: 'static' },
      { sign: 'within' },
      { sign: 'around' },
      { sign: 'around', generalCiphering: 'one-pass' },
      { profile: 'signed-within' },
      { profile: 'signed-around' },
    ]
    for (const shape of suite === 0 ? shapes : [...shapes, ...withCurves])
      t.match(
        await read(address, { ...base, ...shape }),
        /Wh$/,
        `suite ${suite} ${JSON.stringify(shape)}`,
      )
    if (suite === 1)
      for (const shape of [{ sign: 'around' }, { profile: 'signed-around' }]) {
        const traced: string[] = []
        await read(address, { ...base, ...shape, hex: true }, traced)
        t.match(traced.join('\n'), /^> (.{16})?df/m, 'signed indeed')
      }
    if (suite === 0)
      for (const shape of withCurves)
        await t.rejects(read(address, { ...base, ...shape }), { code: 'DLMS_KEY_UNKNOWN' })
  }
})

t.test('everything from an inventory', async (t) => {
  const { eui64, devices } = await meterUnder(t, 1)
  t.match(await read(eui64, { devices }), /Wh$/)
  t.match(await read(eui64.replaceAll('-', ''), { devices, profile: 'dedicated-key' }), /Wh$/)
  await t.rejects(read('00-DB-10-00-00-00-00-09', { devices }), {
    code: 'CONFIG_INVALID',
    detail: /is not in/,
  })
  await t.rejects(read(eui64, {}), { code: 'CONFIG_INVALID' })
  const broken = join(folder, 'broken.jsonl')
  writeFileSync(broken, '{"eui64":"00","keys":{"unicast":"secret words"}}\n')
  await t.rejects(read(eui64, { devices: broken }), {
    code: 'CONFIG_INVALID',
    detail: /line 1: eui64 must/,
  })
})

t.test('keys that are none are told without showing them', async (t) => {
  const file = join(folder, 'wrong.json')
  const { address } = await meterUnder(t, 0)
  for (const text of ['{"unicast":"00112233secret"}', 'secret', '{"unicast":"secret"'])
    for (const suite of ['0', undefined]) {
      writeFileSync(file, text)
      const fault = await read(address, { keys: file, ...(suite && { suite }) }).catch(
        (error: unknown) => error as Error,
      )
      t.match(fault, { code: 'CONFIG_INVALID' })
      t.notMatch(String(fault), /secret/)
    }
  await t.rejects(read(address, { suite: '0', mechanism: '5' }), { code: 'DLMS_KEY_UNKNOWN' })
  await t.rejects(read(address, { mechanism: '7' }), { code: 'CONFIG_INVALID' })
  await t.rejects(read(address, { sign: 'within' }), { code: 'CONFIG_INVALID' })
  await t.rejects(read(address, { profile: 'nobody' }), { code: 'CONFIG_INVALID' })
  await t.rejects(read(address, { suite: '0', profile: 'counter-untold' }), {
    code: 'CONFIG_INVALID',
    detail: /give --counter/,
  })
})
