/**
 * The rule that devices need meter points: an operator changes it for all processes, while requests
 * are under way; what waits at a device without meter points ends.
 */
import t from 'tap'
import {
  changeDeployment,
  meterPointsNeeded,
} from '../../../../actors/cli/operator/deployment-record.ts'
import { hostedParty } from '../../../../actors/party/party-kind.ts'
import { formatLatest } from '../../../../core/cluster/format.ts'
import { DirectoryReader } from '../../../../core/ledger/directory-reader.ts'
import { decodeDeployment, encodeDeployment } from '../../../../core/ledger/identity.ts'
import { deploymentSubject } from '../../../../core/ledger/opening.ts'
import { silentLog } from '../../../../core/ports/log.ts'
import { deviceKey } from '../../../support/envelopes.ts'
import type { SimExchange } from '../../../../core/ports/sim/wan.ts'
import { good, nameOf, pass, settle, World } from '../../../support/world.ts'

const deployment = (format: number) => ({
  partitionCount: 4,
  identity: undefined,
  bucketSuffix: '',
  format,
})

async function begun(format: number) {
  const world = new World({ onExchange: good, moreKinds: [hostedParty] })
  const { clock, ledger } = world
  await ledger.commit([{ subject: deploymentSubject, data: encodeDeployment(deployment(format)) }])
  const reader = new DirectoryReader({ ledger, clock, log: silentLog })
  await reader.start()
  world.options.live = reader
  await world.start()
  await world.register(1)
  return { world, ledger, reader }
}

t.test('a device without meter points takes requests until they are required', async (t) => {
  const { world, ledger, reader } = await begun(formatLatest)
  let counter = 0
  const submit = () => world.submit({ device: deviceKey(0), counter: ++counter })
  t.equal(await meterPointsNeeded(ledger), false)
  t.equal(await submit(), 'REQUEST_ACCEPTED')
  t.equal(await meterPointsNeeded(ledger, true), true)
  t.equal(await meterPointsNeeded(ledger), true)
  t.equal(await reader.refresh(), true)
  await settle()
  t.equal(reader.current.needsMeterPoints, true, 'a process knows it')
  t.equal(await submit(), 'PARTY_NOT_REGISTERED')
  t.equal(await meterPointsNeeded(ledger, false), false)
  await settle()
  t.equal(await submit(), 'REQUEST_ACCEPTED')
})

t.test('what waits at a device without meter points ends when its turn comes', async (t) => {
  const { world, ledger } = await begun(formatLatest)
  const exchanges: SimExchange[] = []
  world.options.onExchange = (exchange) => void exchanges.push(exchange)
  for (const counter of [1, 2])
    t.equal(await world.submit({ device: deviceKey(0), counter }), 'REQUEST_ACCEPTED')
  await settle()
  t.equal(exchanges.length, 1, 'the first is on its way')
  await meterPointsNeeded(ledger, true)
  await settle()
  good(exchanges[0]!)
  await pass(world, () => world.deliveries().length === 2)
  const device = nameOf(deviceKey(0))
  t.same(world.deliveries(), [`${device}/1 OK`, `${device}/2 PARTY_NOT_REGISTERED`])
  t.equal(exchanges.length, 1)
})

t.test('an earlier format has no place for the rule, and other changes keep it', async (t) => {
  const { ledger } = await begun(2)
  t.equal(await meterPointsNeeded(ledger, false), false, 'as it is')
  await t.rejects(meterPointsNeeded(ledger, true), { code: 'FORMAT_NOT_RAISED' })
  await changeDeployment(ledger, (before) => ({ ...before, format: formatLatest }))
  await meterPointsNeeded(ledger, true)
  const after = await changeDeployment(ledger, (before) => ({ ...before, bucketSuffix: '_a' }))
  t.match(after, { format: formatLatest, needsMeterPoints: true, bucketSuffix: '_a' })
  t.same(decodeDeployment(encodeDeployment(after)), after)
  t.notMatch(encodeDeployment(deployment(formatLatest)).toString(), /needsMeterPoints/)
})
