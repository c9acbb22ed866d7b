/**
 * `busbar meter` and meters that keep one association on a connection, or close it; and what it
 * says of keys and counters.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readCommand } from '../../../actors/cli/meter/meter-commands.ts'
import { withAdvice } from '../../../actors/cli/meter/meter-advice.ts'
import type { MeterOptions } from '../../../actors/cli/meter/option-texts.ts'
import { formatDevice } from '../../../actors/simulator/network/fleet-process.ts'
import { startFleet } from '../../../actors/simulator/network/fleet.ts'
import { OddRelay, type Oddity } from '../../core/wan/odd-relay.ts'
import { aarqTag, rlrqTag } from '../../core/wan/scripted-meter.ts'

const publicClient = 16
const rlreTag = 0x63

async function readThrough(t: Test, oddity: Oddity, options: Partial<MeterOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const shares = { gasShare: 0, gasProxyShare: 0, solarShare: 0, secretShare: 0 }
  const securityShares: [number, number, number] = [1, 0, 0]
  const fleet = await startFleet({ meters: 1, seed: 3, ...shares, securityShares })
  t.teardown(() => fleet.close())
  const relay = await OddRelay.start(fleet.ports[0]!, oddity)
  t.teardown(() => relay.stop())
  const device = JSON.parse(formatDevice(fleet.device(0))) as {
    eui64: string
    address: { port: number }
  }
  device.address.port = relay.port
  const devices = join(folder, 'devices.jsonl')
  writeFileSync(devices, JSON.stringify(device))
  const lines: string[] = []
  const terminal = { out: (line: string) => void lines.push(line), err: () => undefined }
  const given = { hex: false, json: false, devices, waitMs: '1000', ...options }
  const reading = readCommand(device.eui64, '1-0:1.8.0.255', given, terminal)
  return { relay, reading, lines }
}

const oddities: Record<string, Oddity> = {
  'it closes behind the answer to a release': {
    answer(one) {
      if (one.tag === rlreTag) setImmediate(() => one.close())
      return true
    },
  },
  'it closes in place of an answer to a release': {
    answer(one) {
      if (one.tag === rlreTag) one.close()
      return one.tag !== rlreTag
    },
  },
  'it does not answer a release, and no other client': {
    question: (one) =>
      one.tag !== rlrqTag && (one.client === publicClient || one.connection.number > 1),
  },
  'it is silent behind a release': { question: (one) => !one.connection.released },
}

for (const [what, oddity] of Object.entries(oddities))
  t.test(what, async (t) => {
    const { relay, reading, lines } = await readThrough(t, oddity)
    await reading
    t.match(lines[0], /1-0:1\.8\.0\.255 .* Wh/)
    t.equal(relay.accepted, 2)
  })

t.test('with the profile, another connection from the start', async (t) => {
  const oddity: Oddity = { question: (one) => !one.connection.released }
  const { relay, reading } = await readThrough(t, oddity, { profile: 'one-association' })
  await reading
  t.same(relay.aarqs, [publicClient, 1])
})

t.test('a connection that is closed at the AARQ', async (t) => {
  const oddity: Oddity = {
    question(one) {
      if (one.tag === aarqTag) one.close()
      return one.tag !== aarqTag
    },
  }
  const { reading } = await readThrough(t, oddity, { counter: '5' })
  await t.rejects(reading, {
    code: 'DEVICE_SILENT',
    detail: /^it closed the connection at the AARQ: check keys and --counter/,
  })
  const fault = await reading.catch((error: unknown) => withAdvice(error))
  t.match((fault as Error).message, /check keys and --counter/)
})

t.test('silence at the AARQ', async (t) => {
  const { reading } = await readThrough(t, { question: () => false }, { counter: '5' })
  await t.rejects(reading, {
    code: 'DEVICE_SILENT',
    detail: /no answer within 1000 ms to the AARQ: check keys and/,
  })
})
