/**
 * The format of a deployment: raised once every process reads it, while requests go on; refused by
 * name before, and to a process of an earlier version afterwards.
 */
import t from 'tap'
import { formatStatus, raiseFormat } from '../../../../actors/cli/operator/cluster-format.ts'
import { formatLines } from '../../../../actors/cli/operator/cluster-format.ts'
import { hostedParty } from '../../../../actors/party/party-kind.ts'
import { encodePartyChange } from '../../../../core/access/party-change.ts'
import { limits } from '../../../../core/base/limits.ts'
import { announceAlive, aliveSubject, wanAliveSubject } from '../../../../core/cluster/alive.ts'
import { formatLatest } from '../../../../core/cluster/format.ts'
import {
  decodePresence,
  encodePresence,
  presenceSubject,
} from '../../../../core/cluster/presence.ts'
import { Kind } from '../../../../core/envelope/layout.ts'
import { DirectoryReader } from '../../../../core/ledger/directory-reader.ts'
import { decodeDeployment, encodeDeployment } from '../../../../core/ledger/identity.ts'
import { deploymentSubject } from '../../../../core/ledger/opening.ts'
import { silentLog } from '../../../../core/ports/log.ts'
import { deviceKey, envelopeOf, supplier } from '../../../support/envelopes.ts'
import { good, settle, World } from '../../../support/world.ts'

const deploymentOf = (format: number): Buffer =>
  encodeDeployment({ partitionCount: 4, identity: undefined, bucketSuffix: '', format })

/** A deployment of format 1 with one host, whose directory is that of the ledger. */
async function begun() {
  const world = new World({ onExchange: good, moreKinds: [hostedParty] })
  const { clock, ledger, bus } = world
  await ledger.commit([{ subject: deploymentSubject, data: deploymentOf(1) }])
  const reader = new DirectoryReader({ ledger, clock, log: silentLog })
  await reader.start()
  world.options.live = reader
  await world.start()
  await world.register(1)
  const present = (processId: string, reads: number): (() => void) => {
    const presence = { processId, roles: ['host'], version: '0.1.0', reads }
    return announceAlive(bus, clock, presenceSubject(processId), encodePresence(presence))
  }
  /** Settles when every process has been heard. */
  const listened = async <T>(asked: Promise<T>): Promise<T> => {
    asked.catch(() => undefined)
    await settle()
    clock.advanceBy(limits.aliveIntervalMs * 1.25)
    await settle()
    return asked
  }
  return { world, ports: { ledger, bus, clock }, present, listened }
}

const add = envelopeOf({
  kind: Kind.PARTY_CHANGE,
  device: supplier,
  body: encodePartyChange({ change: 'add', revision: 0, role: 'IS', name: 'One', by: 'ann' }),
  correlation: 1,
})

t.test(
  'a rolling upgrade: nothing new is written before all read it, requests go on',
  async (t) => {
    const { world, ports, present, listened } = await begun()
    let counter = 0
    const submit = () => world.submit({ device: deviceKey(0), counter: ++counter })
    present('a', formatLatest)
    // Two of the version before: a host, and a wan process, which says a name of its life.
    const endHost = announceAlive(ports.bus, ports.clock, aliveSubject('b'), 'b')
    const endWan = announceAlive(ports.bus, ports.clock, wanAliveSubject('c-12'), 'c-12ab')
    const status = await listened(formatStatus(ports))
    t.match(status, { format: 1, latest: formatLatest, older: ['b', 'c'] })
    t.match(formatLines(status).join('\n'), /format 1; .*--raise[\s\S]*b {2}of a version before/)
    t.equal((await world.ask([add]))?.get(1), 'FORMAT_NOT_RAISED')
    t.equal(await submit(), 'REQUEST_ACCEPTED')
    await t.rejects(listened(raiseFormat(ports)), { code: 'FORMAT_NOT_READ', message: /b, c/ })
    endHost()
    endWan()
    const endOld = present('d', 1)
    await t.rejects(listened(raiseFormat(ports)), { code: 'FORMAT_NOT_READ', message: /: d/ })
    t.equal(await submit(), 'REQUEST_ACCEPTED')
    endOld()
    t.match(await listened(raiseFormat(ports)), { format: formatLatest })
    t.match(await listened(raiseFormat(ports)), { format: formatLatest }, 'twice is once')
    t.equal((await world.ask([add]))?.get(1), 'REQUEST_ACCEPTED')
    t.equal(await submit(), 'REQUEST_ACCEPTED')
  },
)

t.test('a process that reads an earlier format is refused by name', async (t) => {
  const record = JSON.parse(deploymentOf(formatLatest).toString()) as { format: number }
  const later = Buffer.from(JSON.stringify({ ...record, format: formatLatest + 1 }))
  t.throws(() => decodeDeployment(later), { code: 'FORMAT_VERSION_LATER' })
  t.equal(decodeDeployment(deploymentOf(1)).format, 1, 'one without a format has the first')
  t.notMatch(deploymentOf(1).toString(), /format/, 'and is written as it was before')
})

t.test('what is said of a process is read, and nothing else', async (t) => {
  const presence = { processId: 'a', roles: ['host'], version: '0.1.0', reads: 2 }
  t.same(decodePresence(Buffer.from(encodePresence(presence))), presence)
  for (const text of ['', 'null', '{}', '[]', encodePresence({ ...presence, processId: 'a b' })])
    t.equal(decodePresence(Buffer.from(text)), undefined, text)
  const large = encodePresence({ ...presence, version: 'v'.repeat(limits.presenceBytesMax) })
  t.equal(decodePresence(Buffer.from(large)), undefined)
})
