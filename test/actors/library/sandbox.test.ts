/**
 * `startSandbox`: several at one time, faults and pushes of their meters, and nothing left at the
 * end.
 */
import { existsSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import t from 'tap'
import {
  ServiceRequest,
  type Delivery,
  type ServiceResponse,
} from '../../../actors/library/client.ts'
import { startSandbox, type Sandbox, type SandboxOptions } from '../../../actors/library/testing.ts'

const folders = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('busbar-sandbox-'))
let counter = 1n

/** Submits a read of the import register; fulfilled with the response. */
async function read(sandbox: Sandbox, target: string): Promise<ServiceResponse> {
  const client = sandbox.client()
  const originator = sandbox.parties[0]!.eui64
  const { promise, resolve } = Promise.withResolvers<ServiceResponse>()
  const receiver = client.receive(10, (deliveries) => {
    for (const { content, deliveryId } of deliveries) {
      receiver.acknowledge(deliveryId)
      if (content?.$case === 'response') resolve(content.value)
    }
  })
  const requestId = { originator, target, counter: BigInt(Date.now()) * 1_000_000n + counter++ }
  const { responseCode } = await client.submit(
    ServiceRequest.fromPartial({ requestId, serviceReferenceVariant: '4.1.1' }),
  )
  t.equal(responseCode, 'I99')
  const response = await promise
  await receiver.end()
  return response
}

t.test('two at one time answer, and leave nothing', async (t) => {
  const before = folders()
  const options: SandboxOptions = { meters: 6, securityShares: [1, 0, 0] }
  const [one, two] = await Promise.all([startSandbox(options), startSandbox({ meters: 3 })])
  t.not(one.grpcAddress, two.grpcAddress)
  t.equal(one.devices.length, 6)
  for (const sandbox of [one, two]) {
    const meter = sandbox.devices.find(({ type }) => type === 'ESME')!.eui64
    t.match(await read(sandbox, meter), { responseCode: 'I0' })
  }
  t.ok((await fetch(`http://${one.opsAddress}/health/ready`)).ok)
  await Promise.all([one.stop(), two[Symbol.asyncDispose]()])
  await one.stop()
  t.same(
    folders().filter((name) => !before.includes(name)),
    [],
    'no data is left',
  )
  for (const { opsAddress } of [one, two])
    await t.rejects(fetch(`http://${opsAddress}/health/live`))
})

t.test(
  'pushes arrive as alerts; other parties, strangers and wrong words are refused',
  async (t) => {
    const sandbox = await startSandbox({ meters: 4, securityShares: [0.5, 0, 0] })
    t.teardown(() => sandbox.stop())
    const suited = sandbox.devices.find(({ keys }) => keys !== undefined)!.eui64
    const plain = sandbox.devices.find(({ keys }) => keys === undefined)!.eui64
    const { promise: both, resolve } = Promise.withResolvers<Delivery[]>()
    const got: Delivery[] = []
    sandbox.client().receive(10, (deliveries) => {
      got.push(...deliveries)
      if (got.length === 2) resolve(got)
    })
    await sandbox.push(suited.toLowerCase(), 'event')
    await sandbox.push(plain.replaceAll('-', ':'))
    t.same(
      (await both).map(({ content }) => content?.$case),
      ['alert', 'alert'],
    )
    await t.rejects(sandbox.push(plain, 'event'), { code: 'CONFIG_INVALID' })
    await t.rejects(sandbox.push('00-00-00-00-00-00-00-00'), { code: 'DEVICE_UNKNOWN' })
    t.throws(() => sandbox.client('00-00-00-00-00-00-00-00'), { code: 'PARTY_UNKNOWN' })
    t.throws(() => sandbox.setFaults('all', 'nonsense'), { code: 'CONFIG_INVALID' })
    t.doesNotThrow(() => sandbox.setFaults(plain, 'silent'))
    t.doesNotThrow(() => sandbox.client(sandbox.parties[1]!.eui64))
  },
)

t.test('a start that fails leaves nothing', async (t) => {
  const before = folders()
  const natsServer = '/nonexistent/nats-server'
  t.notOk(existsSync(natsServer))
  await t.rejects(startSandbox({ natsServer }), { code: 'NATS_SERVER_MISSING' })
  await t.rejects(startSandbox({ meters: 2, parties: [] }), { code: 'CONFIG_INVALID' })
  await t.rejects(startSandbox({ meters: 0 }), { code: 'CONFIG_INVALID' })
  t.same(
    folders().filter((name) => !before.includes(name)),
    [],
  )
})
