/**
 * No key is used twice with one invocation counter across a restore: ciphered meters went on after
 * the backup, the ledger was restored from it, and every initialisation vector on the wire is
 * recorded.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { backup } from '../../actors/cli/operator/backup.ts'
import {
  addressOf,
  backupPortsOf,
  openOperatorLedger,
} from '../../actors/cli/operator/operator-ledger.ts'
import { restoreInto } from '../../actors/cli/operator/restore.ts'
import { ServiceRequest, SupplierClient } from '../../actors/library/client.ts'
import { startBroker, type DeviceInput, type RunningBroker } from '../../actors/library/index.ts'
import { formatDevice } from '../../actors/simulator/network/fleet-process.ts'
import { startFleet } from '../../actors/simulator/network/fleet.ts'
import { demoPartiesJson } from '../../core/access/parties.ts'
import { aarqTag } from '../core/wan/scripted-meter.ts'
import { OddRelay } from '../core/wan/odd-relay.ts'

const party = demoPartiesJson[0]!.eui64
const generalGlo = 0xdb
const initiateTag = 0x21

/**
 * The invocation counter of a ciphered APDU that the head-end sends, undefined of one in the clear.
 */
function counterOf(apdu: Buffer): number | undefined {
  const tag = apdu[0]!
  // general-glo-ciphering: title, length, security control, counter.
  if (tag === generalGlo) return afterLength(apdu, 2 + apdu[1]!)
  // glo-get-request and its like.
  if (tag >= 0xc8 && tag <= 0xcf) return afterLength(apdu, 1)
  if (tag !== aarqTag) return undefined
  // user-information [30], an octet string that holds a glo-initiate-request.
  for (let at = 2; at + 6 < apdu.length; at += 2 + apdu[at + 1]!)
    if (apdu[at] === 0xbe && apdu[at + 2] === 0x04 && apdu[at + 4] === initiateTag)
      return afterLength(apdu, at + 5)
  return undefined
}

function afterLength(apdu: Buffer, at: number): number {
  const more = apdu[at]! > 0x80 ? apdu[at]! & 0x7f : 0
  return apdu.readUInt32BE(at + 1 + more + 1)
}

t.test('a command after a restore repeats no invocation counter', async (t) => {
  const fleet = await startFleet({
    meters: 2,
    seed: 5,
    metersPerListener: 1,
    gasShare: 0,
    gasProxyShare: 0,
    secretShare: 0,
    securityShares: [1, 0, 0],
  })
  t.teardown(() => fleet.close())
  /** By meter, in order; since the restore, too. */
  const sent: number[][] = [[], []]
  const relays = await Promise.all(
    fleet.ports.map((port, index) =>
      OddRelay.start(port, {
        question({ apdu }) {
          const counter = counterOf(apdu)
          if (counter !== undefined) sent[index]!.push(counter)
          return true
        },
      }),
    ),
  )
  t.teardown(() => Promise.all(relays.map((relay) => relay.stop())))
  const devices = [0, 1].map((index): DeviceInput => {
    const device = JSON.parse(formatDevice(fleet.device(index))) as DeviceInput
    const address = { ...device.address, port: relays[index]!.port }
    // The second one tells its counter nowhere.
    return {
      ...device,
      address: index === 0 ? address : { ...address, counter: { obis: '0-0:43.1.9.255' } },
    } as DeviceInput
  })
  const [telling, silent] = devices.map(({ eui64 }) => eui64) as [string, string]

  const folder = mkdtempSync(join(tmpdir(), 'busbar-restored-counters-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const dataDir = join(folder, 'data')
  let broker: RunningBroker | undefined
  t.teardown(() => broker?.stop())
  const start = async (): Promise<RunningBroker> => {
    broker = await startBroker({
      ...{ grpc: '127.0.0.1:0', http: '127.0.0.1:0', ops: '127.0.0.1:0' },
      ...{ ledgerBytes: '64MiB', partitions: 2, logLevel: 'silent' },
      parties: demoPartiesJson,
      insecurePartyHeader: true,
      insecureOperators: true,
      keyEncryptionKey: 'ab'.repeat(32),
      dataDir,
    })
    await broker.ready
    return broker
  }
  let counter = BigInt(Date.now()) * 1_000_000n
  const read = async (target: string): Promise<{ responseCode: string; message: string }> => {
    const client = new SupplierClient({ address: broker!.grpcAddress, credentials: { party } })
    try {
      const requestId = { originator: party, target, counter: counter++ }
      const request = ServiceRequest.fromPartial({ requestId, serviceReferenceVariant: '4.1.1' })
      t.equal((await client.submit(request)).responseCode, 'I99')
      for (;;) {
        const { content } = (await client
          .response(requestId, { waitMs: 10_000 })
          .catch(() => undefined)) ?? { content: undefined }
        if (content?.$case === 'response') return content.value
      }
    } finally {
      client.close()
    }
  }

  const first = await start()
  t.equal((await first.register(devices)).registered, 2)
  for (const device of [telling, silent]) t.match(await read(device), { responseCode: 'I0' })
  const operator = await openOperatorLedger(addressOf({ dataDir }))
  await backup(await backupPortsOf(operator), join(folder, 'backup'))
  await operator.close()
  for (let round = 0; round < 3; round++)
    for (const device of [telling, silent]) t.match(await read(device), { responseCode: 'I0' })
  await first.stop()
  rmSync(dataDir, { recursive: true })

  await restoreInto({ dataDir }, join(folder, 'backup'))
  const before = sent.map((list) => list.length)
  const second = await start()
  t.match(await read(telling), { responseCode: 'I0' })
  t.ok(sent[0]!.length > before[0]!)
  t.match(await read(telling), { responseCode: 'I0' }, 'and again')
  const refused = await read(silent)
  t.notMatch(refused, { responseCode: 'I0' })
  t.match(refused.message, /KEYS_COUNTER_UNKNOWN|invocation counter of the device must be read/)
  t.equal(sent[1]!.length, before[1], 'nothing was sent under the keys of the second one')

  await second.stop()
  const third = await start()
  t.notMatch(await read(silent), { responseCode: 'I0' }, 'nor after another start')
  const questions = relays[0]!.aarqs.length
  t.match(await read(telling), { responseCode: 'I0' })
  t.equal(relays[0]!.aarqs.length, questions + 1, 'the first one is not asked again')
  const accepted = await fetch(`http://${third.opsAddress}/v1/devices/${silent}/counter`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ counter: Math.max(...sent[1]!) + 1 }),
  })
  t.equal(accepted.status, 200)
  t.match(await read(silent), { responseCode: 'I0' }, 'an operator has given a counter')
  for (const [index, list] of sent.entries()) {
    t.ok(list.length > 5, `meter ${index}`)
    t.equal(new Set(list).size, list.length, `no counter of meter ${index} was sent twice`)
  }
})
