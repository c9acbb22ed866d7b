/**
 * The users of a nats-server, at a real one: what each role needs works, and what a stolen
 * credential of a role tries is refused: to hand in requests, to read inboxes of others, to write
 * to the ledger or to change its stream.
 */
import { readFileSync } from 'node:fs'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { NatsBus } from '../../../core/bus/nats-bus.ts'
import { createCursorStore } from '../../../core/ledger/cursors.ts'
import { createSnapshotStore } from '../../../core/ledger/snapshots.ts'
import { createLedger } from '../../../core/ledger/jetstream.ts'
import { connectNats, newInbox } from '../../../core/nats/connection.ts'
import { natsConnectOptions } from '../../../core/nats/options.ts'
import { inboxPrefixOf, limitedUsers, natsUserOf, NatsUser } from '../../../core/nats/users.ts'
import { natsPasswordVariable } from '../../../core/ops/nats-users-file.ts'
import { hostSubject, pushSubject } from '../../../core/ports/bus.ts'
import { startTestNats } from '../../support/nats.ts'

// The file that operators include, which has its passwords from the environment.
for (const user of NatsUser) process.env[natsPasswordVariable(user)] = `password-of-${user}`
const file = new URL('../../../core/ops/deploy/nats-users.conf', import.meta.url)
const nats = await startTestNats({ moreConfig: () => [readFileSync(file, 'utf8')] })
t.teardown(() => nats.close())

const addressOf = (user: NatsUser) => ({ url: nats.url, user, password: `password-of-${user}` })
const connectAs = async (t: Test, user: NatsUser): Promise<NatsConnection> => {
  const connection = await connectNats(natsConnectOptions(addressOf(user), 'users.test'))
  t.teardown(() => connection.close())
  return connection
}

const ledgerOptions = { partitionCount: 1, bytesMax: 64 * 1024 ** 2 }
async function* oneChunk() {
  yield Buffer.from('a snapshot')
}

const openAs = async (t: Test, user: NatsUser) => {
  const connection = await connectAs(t, user)
  const ledger = await createLedger({ ...ledgerOptions, connection })
  t.teardown(() => ledger.close())
  const ledgerId = ledger.openedAs.deployment.identity.id
  const cursors = await createCursorStore({ connection, ledgerId, bucketName: 'CURSORS' })
  const openSnapshots = () =>
    createSnapshotStore({ connection, ledgerId, bucketName: 'SNAPSHOTS', bytesMax: 2 ** 24 })
  return { connection, ledger, cursors, openSnapshots }
}

/** What the server refuses of this connection, in its words. */
function refusalsOf(connection: NatsConnection): string[] {
  const refusals: string[] = []
  void (async () => {
    for await (const status of connection.status())
      if (status.type === 'error') refusals.push(status.error.message.toLowerCase())
  })()
  return refusals
}

t.test('the server lets nobody in without a user', async (t) => {
  await t.rejects(connect({ servers: nats.url, reconnect: false }), /authorization violation/i)
})

t.test('each role opens the ledger that a host has made, and reads it', async (t) => {
  const host = await openAs(t, 'host')
  await (await host.openSnapshots()).put('snapshot', oneChunk())
  const committed = await host.ledger.commit([
    { subject: 'log.host-1', data: Buffer.from('a tick') },
  ])
  t.notOk('refused' in committed)
  for (const user of ['gateway', 'wan', 'views', 'busbar'] as const) {
    const { connection, cursors, ledger, openSnapshots } = await openAs(t, user)
    const message = await ledger.lastOn('log.host-1')
    t.equal(Buffer.from(message!.data).toString(), 'a tick', user)
    if (user === 'wan') continue
    if (user === 'views') {
      const refusals = refusalsOf(connection)
      const chunks: Uint8Array[] = []
      const take = async (chunk: Uint8Array) => void chunks.push(Buffer.from(chunk))
      await (await openSnapshots()).get('snapshot', take)
      t.equal(Buffer.concat(chunks).toString(), 'a snapshot')
      t.same(refusals, [])
    }
    await cursors.put(`of-${user}`, Buffer.from(user))
    t.equal(Buffer.from((await cursors.get(`of-${user}`))!).toString(), user)
  }
})

t.test('gateways ask hosts, and processes with wan answer hosts and push', async (t) => {
  const busAs = async (user: NatsUser) => new NatsBus({ connection: await connectAs(t, user) })
  const [gateway, host, wan] = [await busAs('gateway'), await busAs('host'), await busAs('wan')]
  await host.serve(hostSubject('one'), (frame, reply) => reply(Buffer.from(`host ${frame}`)))
  await host.serve(pushSubject('one'), (frame, reply) => reply(Buffer.from(`push ${frame}`)))
  await wan.serve('wan.first', (frame, reply) => reply(Buffer.from(`wan ${frame}`)))
  const ask = async (bus: NatsBus, subject: string) =>
    (await bus.request(subject, Buffer.from('x'), 5_000)).toString()
  t.equal(await ask(gateway, 'host.one'), 'host x')
  t.equal(await ask(host, 'wan.first'), 'wan x')
  t.equal(await ask(wan, 'host-push.one'), 'push x')
})

const stolen = ['wan', 'views'] as const
for (const user of stolen) {
  t.test(`a stolen credential of ${user}`, async (t) => {
    const operator = await connectAs(t, 'busbar')
    const seen: string[] = []
    const watched = operator.subscribe('busbar.>', {
      callback: (_fault, { subject }) => void seen.push(subject),
    })
    t.teardown(() => watched.unsubscribe())
    await operator.flush()
    const thief = await connectAs(t, user)
    const refusals = refusalsOf(thief)
    const { ledger } = await openAs(t, 'busbar')
    const { lastSequence } = await ledger.usage()

    const forbidden = [
      'busbar.host.one',
      'busbar.log.host-1',
      'busbar.lease.0',
      'busbar.meta.deployment',
      'busbar.directory.in-force',
      'busbar.handover.one',
      'busbar.receiver.90B3D51F30010000',
      '_INBOX.somebody.1',
      '_INBOX_gateway.somebody.1',
      '$O.SNAPSHOTS.C.x',
      '$JS.API.STREAM.DELETE.LEDGER',
      '$JS.API.STREAM.PURGE.LEDGER',
      '$JS.API.STREAM.UPDATE.LEDGER',
      '$JS.API.STREAM.MSG.DELETE.LEDGER',
      '$JS.API.STREAM.CREATE.OTHER',
      '$JS.API.CONSUMER.CREATE.KV_CURSORS.c.$KV.CURSORS.x',
      '$JS.API.CONSUMER.CREATE.KV_CURSORS',
      '$JS.API.CONSUMER.DURABLE.CREATE.KV_CURSORS.c',
      '$JS.API.DIRECT.GET.KV_CURSORS',
      '$JS.API.DIRECT.GET.KV_CURSORS.$KV.CURSORS.x',
      ...(user === 'wan' ? ['$KV.CURSORS.x'] : ['busbar.host-push.one', 'busbar.wan-results.one']),
    ]
    for (const subject of forbidden) thief.publish(subject, 'forged', { reply: newInbox(thief) })
    const others = limitedUsers
      .filter((one) => one !== user)
      .map((one) => `${inboxPrefixOf(one)}.>`)
    const hearing = ['>', '_INBOX.>', 'busbar.>', 'busbar.host.*', 'busbar.log.*', ...others]
    for (const subject of hearing) thief.subscribe(subject, { callback: (fault) => void fault })
    await thief.flush()
    await operator.flush()
    for (const subject of forbidden)
      t.ok(
        refusals.some((text) => text.includes(`publish to "${subject.toLowerCase()}"`)),
        `no publishing to ${subject}`,
      )
    for (const subject of hearing)
      t.ok(
        refusals.some((text) => text.includes(`subscription to "${subject.toLowerCase()}"`)),
        `no subscription to ${subject}`,
      )
    t.same(
      seen.filter((subject) => forbidden.includes(subject)),
      [],
      'nothing of it arrived',
    )
    t.equal((await ledger.usage()).lastSequence, lastSequence, 'the ledger is as it was')
  })
}

t.test('a host does not hear the inboxes of others, nor a gateway the ledger', async (t) => {
  const [host, gateway, operator] = [
    await connectAs(t, 'host'),
    await connectAs(t, 'gateway'),
    await connectAs(t, 'busbar'),
  ]
  const refusals = refusalsOf(gateway)
  const heard: string[] = []
  host.subscribe('>', { callback: (_fault, { subject }) => void heard.push(subject) })
  await host.flush()
  gateway.publish('busbar.log.host-1', 'forged')
  gateway.publish('busbar.receiver.x')
  operator.publish('_INBOX_gateway.secret.1')
  operator.publish('_INBOX.secret.1')
  operator.publish('busbar.end')
  await gateway.flush()
  await operator.flush()
  await host.flush()
  t.notOk(
    heard.some((subject) => subject.startsWith('_INBOX_gateway') || subject === '_INBOX.secret.1'),
  )
  t.ok(heard.includes('busbar.end'))
  t.ok(refusals.some((text) => text.includes('publish to "busbar.log.host-1"')))
})

t.test('a process with one role is the user of that role, others are not limited', async (t) => {
  for (const user of limitedUsers) t.equal(natsUserOf([user]), user)
  t.equal(natsUserOf(['gateway', 'host', 'wan']), 'busbar')
  t.equal(natsUserOf([]), 'busbar')
  t.equal(inboxPrefixOf('busbar'), undefined)
  t.equal(natsConnectOptions({ url: 'nats://wan:p@h:1' }).inboxPrefix, '_INBOX_wan')
  t.notOk('inboxPrefix' in natsConnectOptions({ url: 'nats://wan@h:1' }), 'that is a token')
})
