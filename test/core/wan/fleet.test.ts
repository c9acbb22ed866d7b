/**
 * The WAN pool against the real simulator: three concentrators, each fault of its list, and all of
 * them at once.
 */
import t from 'tap'
import { makeFault, parseFaults, type FaultKind } from '../../../actors/simulator/network/faults.ts'
import { startFleet } from '../../../actors/simulator/network/fleet.ts'
import type { ErrorCode } from '../../../core/base/error-table.ts'
import { Lane } from '../../../core/base/lane.ts'
import { parseObis, readCosemDateTime, skipValue } from '../../../core/dlms/index.ts'
import type { CosemOperation, ExchangeResult } from '../../../core/ports/wan.ts'
import { SocketWan } from '../../../core/wan/sockets/socket-wan.ts'

// Generous: a busy machine must not make an answer late; the silent ones wait for it.
const patient = { responseMs: 2_000, sweepMs: 10, deadAddressMs: 0 }

function get(classId: number, obis: string, attribute: number): CosemOperation {
  return {
    kind: 'get',
    descriptor: Buffer.from([classId >> 8, classId & 255, ...parseObis(obis), attribute]),
  }
}
const identity = get(1, '0-0:42.0.0.255', 2)
const clock = get(8, '0-0:1.0.0.255', 2)
const profile = get(7, '1-0:99.1.0.255', 2)

const fleet = await startFleet({
  meters: 60,
  seed: 7,
  metersPerListener: 20,
  gasShare: 0,
  gasProxyShare: 0,
  secretShare: 0.3,
})
const wan = new SocketWan(patient)

const ask = (index: number, operations: CosemOperation[]): Promise<ExchangeResult> =>
  wan.exchange(fleet.device(index).record.address, { cosem: operations }, Lane.NORMAL)
const codeOf = (result: ExchangeResult): string => (result.ok ? 'OK' : result.code)

t.test('all meters at once: each answers as itself, over three connections', async (t) => {
  const results = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(i, [identity, clock])))
  const names = new Set<string>()
  for (const result of results) {
    if (!result.ok) {
      t.fail(`${result.code} ${result.detail}`)
      continue
    }
    names.add(Buffer.from(result.results[0]!.value!).toString('hex'))
    const time = Buffer.from(result.results[1]!.value!)
    t.type(readCosemDateTime(time, 2), 'number')
  }
  t.equal(names.size, 60, 'sixty names')
  t.equal(wan.counts.connections, 3)
})

t.test('a value that takes many blocks', async (t) => {
  const result = await ask(3, [profile])
  if (!result.ok) return void t.fail(`${result.code} ${result.detail}`)
  const value = Buffer.from(result.results[0]!.value!)
  t.ok(value.length > 100_000, `${value.length} octets`)
  t.equal(skipValue(value, 0), value.length, 'one whole array')
})

const codes: Record<FaultKind, ErrorCode | 'OK'> = {
  slow: 'OK',
  silent: 'DEVICE_SILENT',
  drop: 'DEVICE_SILENT',
  garbage: 'DEVICE_ANSWER_INVALID',
  noise: 'DEVICE_ANSWER_INVALID',
  truncate: 'DEVICE_SILENT',
  'wrong-invoke-id': 'DEVICE_ANSWER_INVALID',
  'wrong-block-number': 'DEVICE_ANSWER_INVALID',
  'too-much': 'DEVICE_ANSWER_INVALID',
  'refuse-association': 'DEVICE_ASSOCIATION_REFUSED',
  exception: 'DEVICE_ANSWER_INVALID',
  'lose-key-answer': 'OK',
}

t.test('each fault has its code, and passes', async (t) => {
  for (const [kind, code] of Object.entries(codes) as Array<[FaultKind, ErrorCode | 'OK']>) {
    // A connection of its own: associations made before would hide a refusal.
    const pool = new SocketWan(patient)
    const { address } = fleet.device(25).record
    fleet.setFault(25, [makeFault(kind, kind === 'slow' ? { delayMs: 5 } : {})])
    const result = await pool.exchange(address, { cosem: [identity] }, Lane.NORMAL)
    t.equal(codeOf(result), code, `${kind}${result.ok ? '' : `: ${result.detail}`}`)
    fleet.setFault(25, [])
    const after = await pool.exchange(address, { cosem: [identity] }, Lane.NORMAL)
    t.equal(codeOf(after), 'OK', `after ${kind}${after.ok ? '' : `: ${after.detail}`}`)
    await pool.close()
  }
})

t.test(
  'a fleet full of faults: every exchange ends, and when the faults stop everything works',
  async (t) => {
    fleet.setFault(
      'all',
      parseFaults(
        'silent:0.3%,garbage:5%,drop:2%,noise:2%,wrong-invoke-id:5%,exception:5%,truncate:2%,slow=5ms:10%',
      ),
    )
    const before = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(i, [identity])))
    const nameOf = new Map<number, string>()
    const seen = new Map<string, number>()
    await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        for (let round = 0; round < 10; round++) {
          const result = await ask(i, [identity])
          seen.set(codeOf(result), (seen.get(codeOf(result)) ?? 0) + 1)
          if (!result.ok) continue
          const name = Buffer.from(result.results[0]!.value!).toString('hex')
          t.equal(nameOf.get(i) ?? name, name, 'the same meter has the same name')
          nameOf.set(i, name)
        }
      }),
    )
    t.equal(before.length, 60)
    t.equal(
      [...seen.values()].reduce((sum, count) => sum + count, 0),
      600,
      'all ended',
    )
    t.equal(new Set(nameOf.values()).size, nameOf.size, 'nobody answered for another')
    t.ok((seen.get('OK') ?? 0) > 0 && seen.size > 1, JSON.stringify(Object.fromEntries(seen)))
    fleet.setFault('all', [])
    // The first exchange after a fault may find a connection in doubt; the second does not.
    await Promise.all(Array.from({ length: 60 }, (_, i) => ask(i, [identity])))
    const after = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(i, [identity])))
    t.same([...new Set(after.map(codeOf))], ['OK'])
  },
)

t.test('closing leaves nothing', async (t) => {
  await wan.close()
  t.match(wan.counts, { exchanges: 0, connections: 0, endpoints: 0 })
  await fleet.close()
})
