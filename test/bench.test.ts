/**
 * Every bench in its smoke mode, the harness, and the octets that the bare pipe pretends to
 * exchange.
 */
import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { countCopies, measure, median } from '../bench/harness.ts'
import { cpuMsInStat, cpuMsInTime, cpuMsOf, microsPerRequest } from '../bench/process-cpu.ts'
import { Flight } from '../bench/path/flight.ts'
import { sizes } from '../bench/path/sizes.ts'
import {
  bytesField,
  readVarint,
  textField,
  varintBytes,
  varintField,
  writeVarint,
} from '../bench/path/wire.ts'
import { parseSrv } from '../core/base/srv.ts'
import { serviceRequestOf } from '../core/catalogue/service-requests.ts'
import { AxdrWriter, DlmsClient, DlmsServer, wrapperHeaderBytes } from '../core/dlms/index.ts'
import { answerOf } from '../core/translate/answer.ts'
import { commandOf } from '../core/translate/command.ts'

const root = join(import.meta.dirname, '..')

type Ended = { code: number | null; stdout: string; stderr: string }

function runBench(args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'bench/run.ts'), ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

const figuresOf: Record<string, readonly string[]> = {
  dlms: ['clearApduNs'],
  host: [
    'messagesPerCpuSecond',
    'mapUpdatesPerCpuSecond',
    'ratio',
    'indexWakesPerSecond',
    'dueWakesPerSecond',
    'registeredPerSecond',
    'storeBytesPerDevice',
    'ledgerBytesPerDevice',
    'bytesPerAwakeActor',
    'awake',
    'storeReadMicros',
    'unpackMicros',
  ],
  access: ['decisionsPerSecond', 'ratio', 'records', 'quietP99Ms'],
  hosts: ['ratio', 'oneHostPerCpuSecond'],
  registration: ['recordsPerCpuSecond', 'structurePerCpuSecond', 'ratio', 'accepted'],
  signatures: ['signedPerSecond', 'unsignedPerSecond', 'ratio', 'signedLoopMicros'],
  letters: ['hosts1LetterP50Ms', 'hosts2LetterP99Ms', 'hosts2HostMicros'],
  restart: ['servesMs', 'loadMs', 'firstAnswerMs', 'takenUpMs', 'replayFactsPerSecond', 'ratio'],
  ledger: ['commitsPerSecond', 'envelopesPerSecond', 'plainPublishesPerSecond', 'ratio'],
  path: [
    'requestsPerSecond',
    'barePipeRequestsPerSecond',
    'ratio',
    'p50Ms',
    'p99Ms',
    'openLoopRate',
    'openLoopP50Ms',
    'openLoopP99Ms',
    'unaryPerSecond',
    'batchPerSecond',
    'httpPerSecond',
    'meters',
    'connections',
    'requests',
  ],
}

t.test('every bench runs in smoke mode and gives one JSON object', async (t) => {
  const names = (await readdir(join(root, 'bench')))
    .filter((file) => file.endsWith('.bench.ts'))
    .map((file) => file.slice(0, -'.bench.ts'.length))
  t.ok(names.includes('path'))
  for (const name of names) {
    const { code, stdout, stderr } = await runBench([name, '--json', '--smoke'])
    t.equal(code, 0, `${name} ends well`)
    if (code !== 0) {
      t.comment(stderr)
      continue
    }
    const figures = JSON.parse(stdout) as Record<string, unknown>
    t.match(
      figures,
      { smoke: true, seed: 1, machine: { node: process.version } },
      `${name} says where it ran`,
    )
    for (const figure of figuresOf[name] ?? []) {
      t.ok(
        typeof figures[figure] === 'number' && figures[figure] > 0,
        `${name}: ${figure} is ${String(figures[figure])}`,
      )
    }
    if (name === 'ledger') {
      const { flushesPerCommit } = figures
      t.ok(flushesPerCommit === 'unknown' || Number(flushesPerCommit) >= 1, 'every commit flushes')
    }
    if (name === 'dlms') {
      t.match(
        figures['suite0.register.exchange'],
        { ns: Number, floorNs: Number, ratio: Number },
        'what is protected stands beside its floor',
      )
    }
    if (name === 'restart')
      t.equal(figures['facts'], 2_000 + 2 * 401, 'each device once, each request twice')
    if (name === 'path') {
      t.match(
        figures,
        { missing: 0, duplicates: 0, refused: 0, failed: 0, codes: {} },
        'nothing is lost, doubled or refused',
      )
      t.equal(
        figures['barePipeConnections'],
        figures['connections'],
        'meters share connections on both paths',
      )
      for (const [key, middle] of [
        ['cpuMicros', 'broker'],
        ['barePipeCpuMicros', 'pipe'],
        ['httpCpuMicros', 'broker'],
      ] as const)
        t.match(
          figures[key],
          { [middle]: Number, natsServer: Number, meters: Number, client: Number },
          `${key} has each process`,
        )
    }
  }
})

t.test('an unknown name lists the benches', async (t) => {
  const { code, stdout, stderr } = await runBench(['nonsense', '--json'])
  t.equal(code, 1)
  t.equal(stdout, '')
  t.match(stderr, /no bench nonsense/)
  t.match(stderr, /path +a request from party to meter/)
})

t.test('the bare pipe moves the octets of a real exchange', (t) => {
  const row = serviceRequestOf(parseSrv('4.1.1'))!
  const operations = commandOf(row, Buffer.alloc(0), Date.UTC(2026, 0, 1), 'ESME')
  const client = new DlmsClient()
  const energy = new AxdrWriter()
  energy.uint32(12_345_678)
  const register = energy.take()
  const scaler = new AxdrWriter()
  scaler.structure(2)
  scaler.int8(0)
  scaler.enumeration(30)
  const scalerUnit = scaler.take()
  const server = new DlmsServer({
    objects: {
      get: (descriptor) => (descriptor[8] === 2 ? register : scalerUnit),
      set: () => 0,
      invoke: () => ({ result: 0 }),
    },
  })
  let apdu = client.begin(operations)
  const exchanged: Array<[number, number]> = []
  for (;;) {
    const answer = server.receive(apdu)!
    exchanged.push([apdu.length + wrapperHeaderBytes, answer.length + wrapperHeaderBytes])
    const step = client.receive(answer)
    if ('send' in step) apdu = step.send
    else if ('results' in step) {
      const { outcome, bodyBytes } = answerOf(row, operations, step.results)
      t.equal(outcome, 'OK')
      t.ok(
        Math.abs(bodyBytes.length - sizes.responseBodyBytes) <= 4,
        `a body of ${bodyBytes.length} octets`,
      )
      break
    }
  }
  t.equal(exchanged.length, 2, 'association, then one list')
  t.same(exchanged[1], [sizes.meterRequestBytes, sizes.meterAnswerBytes])
  t.end()
})

t.test('the harness', (t) => {
  const work = { op: (index: number) => index * 3, count: 1_000, samples: 3 }
  const first = measure(work)
  t.equal(first.hash, measure(work).hash, 'the same work has the same hash')
  t.not(first.hash, measure({ ...work, op: (index) => index * 5 }).hash, 'other work has another')
  t.equal(first.samples, 3)
  t.ok(first.nsPerOp > 0 && Math.abs(first.opsPerSecond * first.nsPerOp - 1e9) < 1)
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  const source = Buffer.alloc(100)
  t.same(
    countCopies(() => {
      const target = Buffer.alloc(300)
      target.set(source, 0)
      source.copy(target, 100, 10, 60)
      Buffer.concat([source, source])
      Buffer.from(source)
      source.subarray(3)
      Buffer.from(source.buffer, source.byteOffset, 10)
    }),
    { calls: 4, bytes: 100 + 50 + 200 + 100 },
    'copies are counted, views are not',
  )
  t.same(
    countCopies(() => void source.subarray(1)),
    { calls: 0, bytes: 0 },
    'and everything is put back',
  )
  t.end()
})

t.test('CPU of a process', (t) => {
  const stat = '7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 123 45 6 7 20 0 1 0 100 0 0'
  t.equal(cpuMsInStat(stat), 1_680, 'user and system, whatever the name')
  t.equal(cpuMsInTime(' 0:01.25\n'), 1_250)
  t.equal(cpuMsInTime('01:02:03'), 3_723_000)
  t.equal(cpuMsInTime('2-00:00:01'), 172_801_000)
  t.ok(Number.isNaN(cpuMsInTime('')))
  const before = cpuMsOf(process.pid)
  const { user, system } = process.cpuUsage()
  t.ok(Math.abs(before - (user + system) / 1_000) < 1_000, 'of this process')
  t.ok(Number.isNaN(cpuMsOf(undefined)))
  t.ok(Number.isNaN(cpuMsOf(2 ** 22 + 1)), 'of a process that is not there')
  t.same(microsPerRequest({ a: 10, b: 0 }, { a: 30, b: 5 }, 1_000), { a: 20, b: 5 })
  t.end()
})

t.test('the load client counts what comes back', (t) => {
  const devices = ['00DB100000000001', '00DB100000000002', '00DB100000000003']
  const flight = new Flight('90B3D51F30010000', devices, '4.1.1')
  const out = Buffer.alloc(flight.requestBytes * 3)
  let at = 0
  while (flight.hasIdle) at = flight.writeRequest(out, at, 100)
  t.equal(at, out.length)
  t.equal(flight.inFlight, 3)
  const idOf = (index: number): Buffer => {
    const start = index * flight.requestBytes
    return out.subarray(start + 2, start + 2 + 2 + out[start + 3]!)
  }
  const delivery = (index: number, id: number, code = 'I0'): Buffer =>
    bytesField(
      1,
      Buffer.concat([
        varintField(1, id),
        bytesField(2, Buffer.concat([idOf(index), textField(3, code), textField(4, 'REASON')])),
      ]),
    )
  flight.measure(50)
  t.equal(
    flight.onDeliveries(
      Buffer.concat([delivery(0, 5_000_000_001), delivery(0, 5_000_000_002)]),
      107,
    ),
    5_000_000_002,
  )
  t.equal(flight.onDeliveries(delivery(1, 7, 'E21'), 109), 7)
  flight.onAcknowledgements(
    Buffer.concat([
      bytesField(1, Buffer.concat([idOf(0), textField(2, 'I99')])),
      bytesField(
        1,
        Buffer.concat([idOf(2), textField(2, 'E57'), textField(3, 'BROKER_PARTITION_BUSY')]),
      ),
    ]),
  )
  t.same(flight.tally, {
    requests: 3,
    delivered: 2,
    refused: 1,
    failed: 1,
    duplicates: 1,
    missing: 0,
  })
  t.same(Object.fromEntries(flight.codes), { REASON: 1, BROKER_PARTITION_BUSY: 1 })
  t.same([...flight.sortedLatencies()], [7, 9])
  t.ok(flight.hasIdle)
  flight.writeRequest(out, 0, 200)
  flight.abandon()
  t.equal(flight.tally.missing, 1)
  t.equal(flight.inFlight, 0)
  for (const value of [0, 1, 127, 128, 300, 2 ** 31, 2 ** 36 + 5, Number.MAX_SAFE_INTEGER]) {
    const octets = Buffer.alloc(10)
    const end = writeVarint(octets, 0, value)
    const cursor = { at: 0, value: 0 }
    t.same([readVarint(octets, cursor), cursor.at, varintBytes(value)], [value, end, end])
  }
  t.end()
})
