/**
 * Meters of other makers: the words for their quirks, who gets which, and what each does on the
 * wire.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import {
  runFleetProcess,
  type FleetProcessOptions,
} from '../../../../actors/simulator/network/fleet-process.ts'
import { quirkNames } from '../../../../actors/simulator/quirks/quirk-table.ts'
import {
  makeQuirks,
  noQuirks,
  parseQuirks,
  quirkShareOf,
  quirksOf,
} from '../../../../actors/simulator/quirks/quirks.ts'
import { BrokerError } from '../../../../core/base/broker-error.ts'
import { deviceEntryOf } from '../../../../core/inventory/device-record.ts'
import { DlmsClient } from '../../../../core/dlms/client/client.ts'
import { InvocationCounter } from '../../../../core/dlms/security/index.ts'
import type { CosemOperation } from '../../../../core/ports/wan.ts'
import { managerOf } from '../../../support/meter-line.ts'
import { OddLine, oddMeter } from '../../../support/odd-line.ts'

const get = (text: string): CosemOperation => ({
  kind: 'get',
  descriptor: Buffer.from(text.replaceAll(' ', ''), 'hex'),
})
const name = get('0001 00002a0000ff 02')
const counterObject = get('0001 00002b0100ff 02')
const publicClient = 16

const codeOf = (act: () => unknown): string => {
  try {
    act()
    return 'OK'
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return error.code
  }
}

/** What the public client reads: the counter that the meter heard last. */
function heard(line: OddLine): number {
  line.connect()
  const [result] = line.exchange(new DlmsClient(), [counterObject], publicClient)!
  return Buffer.from(result!.value!).readUInt32BE(1)
}

t.test('words', async (t) => {
  const [first, second] = parseQuirks('one-association:30%, closed-after-release+one-client:0.1')
  t.match(first, { names: ['one-association'], share: 0.3 })
  t.match(second, { names: ['closed-after-release', 'one-client'], share: 0.1 })
  t.match(second!.quirks, { secondClient: 'silence', afterRelease: 'taken' }, 'the later one wins')
  t.same(parseQuirks(''), [])
  t.equal(parseQuirks('one-client')[0]!.share, 1)
  for (const wrong of ['one-client:0', 'one-client:101%', 'one-client:2', 'a:b:c', ':10%'])
    t.throws(() => parseQuirks(wrong), { code: 'CONFIG_INVALID' }, wrong)
  t.throws(
    () => parseQuirks('one-client:60%,one-association:60%'),
    { message: /more than 100/ },
    'too many',
  )
  t.throws(() => parseQuirks('onc-client:10%'), { message: /"onc-client".*one-client/ })
  t.throws(() => parseQuirks('toString'), { code: 'CONFIG_INVALID' }, 'not a name of Object')
  t.throws(() => makeQuirks('one-client+'), { code: 'CONFIG_INVALID' })
})

t.test('shares are exact, and every kind is in a small fleet', async (t) => {
  const shares = parseQuirks(quirkNames.map((each) => `${each}:${1 / quirkNames.length}`).join(','))
  const seen = new Set(quirkNames.map((_, number) => quirksOf(shares, number)))
  t.same(seen, new Set(shares.map(({ quirks }) => quirks)))
  const some = parseQuirks('one-client:30%,closed-after-release:10%')
  const all = Array.from({ length: 1_000 }, (_, number) => quirksOf(some, number))
  const count = (quirks: object): number => all.filter((each) => each === quirks).length
  t.equal(count(some[0]!.quirks), 300)
  t.equal(count(some[1]!.quirks), 100)
  t.equal(count(noQuirks), 600)
  t.equal(quirksOf(undefined, 1), noQuirks)
})

/** A connection on which the public client is associated. */
function withPublicClient(quirks: string): { line: OddLine; client: DlmsClient } {
  const line = new OddLine(oddMeter(quirks, { suite: 0 }))
  const client = new DlmsClient()
  t.ok(line.exchange(client, [counterObject], publicClient))
  return { line, client }
}

const reads = (line: OddLine): boolean =>
  line.exchange(managerOf(line.meter, new InvocationCounter(10)), [name], 1) !== undefined

t.test('one-association: no answer to a second client until a release', async (t) => {
  const { line, client } = withPublicClient('one-association')
  t.notOk(reads(line), 'silence')
  t.notOk(line.isClosed)
  t.equal(line.send(client.release(), publicClient).length, 1)
  t.ok(reads(line), 'free after the release')
  line.connect()
  t.equal(line.exchange(new DlmsClient(), [name], publicClient)?.[0]?.result, 0)
})

t.test('a meter that refuses the first client leaves its seat free', async (t) => {
  const line = new OddLine(oddMeter('one-association', { suite: 0 }))
  t.not(
    codeOf(() => line.exchange(new DlmsClient(), [name], 1)),
    'OK',
  )
  t.equal(line.exchange(new DlmsClient(), [name], publicClient)?.[0]?.result, 0)
})

t.test('one-association-misaddressed: an error for the first client', async (t) => {
  const { line } = withPublicClient('one-association-misaddressed')
  const aarq = managerOf(line.meter).begin([name])
  const [frame, ...rest] = line.send(aarq, 1)
  t.same(rest, [])
  t.equal(frame!.client, publicClient)
  t.same(frame!.apdu, Buffer.of(0x0e, 1, 6, 0))
})

t.test('one-client: not even after a release', async (t) => {
  const { line, client } = withPublicClient('one-client')
  t.equal(line.send(client.release(), publicClient).length, 1)
  t.notOk(reads(line))
  line.connect()
  t.ok(reads(line), 'on a new connection')
})

t.test('closed-after-release', async (t) => {
  const { line, client } = withPublicClient('closed-after-release')
  t.equal(line.send(client.release(), publicClient).length, 1, 'the RLRE comes first')
  t.ok(line.isClosed)
  t.same(line.send(new DlmsClient().begin([name]), publicClient), [])
  line.connect()
  t.ok(reads(line))
})

t.test('closed-on-aarq: of a ciphered association', async (t) => {
  const { line } = withPublicClient('closed-on-aarq')
  t.notOk(reads(line))
  t.ok(line.isClosed)
})

t.test('counter-restarted: every association but the first looks like a replay', async (t) => {
  const line = new OddLine(oddMeter('counter-restarted', { suite: 0 }))
  const counter = new InvocationCounter(1)
  const client = managerOf(line.meter, counter)
  t.ok(line.exchange(client, [name], 1))
  client.receive(line.send(client.release(), 1)[0]!.apdu)
  t.equal(
    codeOf(() => line.exchange(client, [name], 1)),
    'DLMS_COUNTER_REPLAYED',
  )
  line.connect()
  t.ok(line.exchange(managerOf(line.meter, counter), [name], 1), 'for one that forgets')
})

t.test('counter-restarted-at-power-up: later starts of the simulator count from 0', async (t) => {
  for (const [quirks, isFirst] of [
    ['', false],
    ['counter-restarted-at-power-up', true],
  ] as const) {
    const { counters } = oddMeter(quirks, { suite: 0 }).security!.forAssociation
    t.equal(counters.unicast!.take() === 0, isFirst, quirks)
  }
})

t.test('counter-advanced: another client uses counters between associations', async (t) => {
  const line = new OddLine(oddMeter('counter-advanced', { suite: 0 }))
  const counter = new InvocationCounter(1)
  const client = managerOf(line.meter, counter)
  t.equal(heard(line), 0)
  t.ok(line.exchange(client, [name], 1))
  const used = line.meter.security!.received
  t.equal(heard(line), used + 1_000, 'it moves when the connection is gone')
  t.equal(heard(line), used + 1_000, 'and no public client moves it')
  line.connect()
  const late = managerOf(line.meter, counter)
  t.equal(
    codeOf(() => line.exchange(late, [name], 1)),
    'DLMS_ASSOCIATION_REFUSED',
  )
  const moved = new InvocationCounter(heard(line) + 1)
  line.connect()
  t.ok(line.exchange(managerOf(line.meter, moved), [name], 1))
})

t.test('counter-advanced: an AARQ in place of a release ends the association too', async (t) => {
  const line = new OddLine(oddMeter('counter-advanced', { suite: 0 }))
  const counter = new InvocationCounter(1)
  t.ok(line.exchange(managerOf(line.meter, counter), [name], 1))
  const again = managerOf(line.meter, counter)
  t.equal(
    codeOf(() => line.exchange(again, [name], 1)),
    'DLMS_ASSOCIATION_REFUSED',
  )
})

const refusals: Array<[quirk: string, check: (t: Test, line: OddLine, answer: Buffer) => void]> = [
  [
    'refusal-exception',
    (t, line, answer) => {
      t.same(answer.subarray(0, 3), Buffer.of(0xd8, 1, 6))
      t.equal(answer.readUInt32BE(3), line.meter.security!.received + 1)
    },
  ],
  ['refusal-plain-exception', (t, _, answer) => t.same(answer, Buffer.of(0xd8, 1, 3))],
  ['refusal-aare', (t, _, answer) => t.equal(answer[0], 0x61)],
]
for (const [quirk, check] of refusals)
  t.test(`${quirk}: to an AARQ and to a request`, async (t) => {
    const line = new OddLine(oddMeter(quirk, { suite: 0 }))
    line.meter.security!.advance(5_000)
    const [aarq, ...rest] = line.send(managerOf(line.meter).begin([name]), 1)
    t.same(rest, [])
    check(t, line, aarq!.apdu)
    const client = managerOf(line.meter, new InvocationCounter(6_000))
    t.ok(line.exchange(client, [name], 1))
    line.meter.security!.advance(5_000)
    const [request] = line.send(client.begin([name]), 1)
    check(t, line, request!.apdu)
    t.notOk(line.isClosed)
  })

for (const quirk of ['refusal-close', 'refusal-silence'])
  t.test(quirk, async (t) => {
    const line = new OddLine(oddMeter(`${quirk}+counter-advanced`, { suite: 0 }))
    line.meter.security!.advance(5_000)
    t.same(line.send(managerOf(line.meter).begin([name]), 1), [])
    t.equal(line.isClosed, quirk === 'refusal-close')
    line.connect()
    t.ok(line.exchange(managerOf(line.meter, new InvocationCounter(6_000)), [name], 1))
  })

/** Runs a fleet process with lines on stdin until it has answered as many. */
async function linesOf(options: Partial<FleetProcessOptions>, ...asked: string[]) {
  const [input, output] = [new PassThrough(), new PassThrough()]
  let end = (): void => undefined
  const running = runFleetProcess(
    { meters: 2, seed: 3, gasShare: 0, gasProxyShare: 0, ...options },
    { input, output, onSignal: (stop) => (end = stop) },
  )
  const lines: unknown[] = []
  for await (const line of createInterface({ input: output })) {
    lines.push(JSON.parse(line))
    const next = asked.shift()
    if (next === undefined) break
    input.write(`${next}\n`)
  }
  end()
  await running
  return lines
}

t.test('the devices file has what a record must say, and no more', async (t) => {
  const devicesFile = join(t.testdir(), 'devices.jsonl')
  const names = quirkNames.filter((each) => each !== 'mode-e')
  const quirks = names.map((each) => `${each}:${1 / names.length}`).join(',')
  await linesOf({
    devicesFile,
    quirks,
    meters: names.length,
    securityShares: [0, 1, 0],
    mechanisms: [2, 5],
    timeZone: 'Asia/Kolkata',
  })
  const records = readFileSync(devicesFile, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const shares = parseQuirks(quirks)
  const told: Record<string, unknown> = {}
  for (const [number, record] of records.entries()) {
    const entry = deviceEntryOf(record)
    t.notOk('faults' in entry, 'a broker takes it')
    const { address, timeZone } = record
    const { profile, counter, security, secret } = address
    t.equal(secret?.length, security.mechanism === 2 ? 32 : undefined)
    const plain = profile?.replace(/\+?block-cipher-proof/, '') || undefined
    const said = JSON.parse(JSON.stringify({ profile: plain, counter, timeZone }))
    if (security.protection !== 48) said.protection = security.protection
    if (Object.keys(said).length > 0) told[quirkShareOf(shares, number)!.names[0]!] = said
  }
  const zone = { timeZone: 'Asia/Kolkata' }
  t.same(told, {
    'clear-release': { profile: 'clear-release' },
    'counter-restarted': { profile: 'counter-restarts' },
    'counter-for-settings': { profile: 'counter-for-settings' },
    'counter-elsewhere': { counter: { obis: '0-0:43.1.8.255', client: 32 } },
    'counter-untold': { profile: 'counter-untold' },
    'proof-under-global-key': { profile: 'proof-under-global-key' },
    'proof-without-ciphering': { protection: 0 },
    'short-names-only': { profile: 'short-names' },
    'range-deviation-refused': { profile: 'range-without-deviation', timeZone: 'UTC' },
    'local-time': zone,
    'local-time-unmarked': zone,
    'local-standard-time': { timeZone: '+05:30' },
  })
})

t.test('a line on stdin: another client uses counters', async (t) => {
  const lines = await linesOf({ securityShares: [1, 0, 0] }, 'advance 1 1000', 'advance all 5')
  t.same(lines.slice(1), [{ advanced: 'advance 1 1000' }, { advanced: 'advance all 5' }])
})

t.test('mechanisms and zones that there are not', async (t) => {
  const wrong: Array<Partial<FleetProcessOptions>> = [
    { mechanisms: [7], securityShares: [1, 0, 0] },
    { mechanisms: [1] },
    { mechanisms: [], securityShares: [0, 1, 0] },
    { timeZone: 'Europe/Atlantis' },
    { quirks: 'no-such' },
  ]
  for (const options of wrong)
    await t.rejects(
      runFleetProcess(
        { meters: 2, seed: 3, ...options },
        { output: new PassThrough(), onSignal() {} },
      ),
      { code: 'CONFIG_INVALID' },
      JSON.stringify(options),
    )
})
