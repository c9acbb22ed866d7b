/** A process's copy of the directory: followed, refreshed, and stopped by a later version. */
import t from 'tap'
import { encodePartyRecord, type PartyRecord } from '../../../core/access/party-record.ts'
import { limits } from '../../../core/base/limits.ts'
import { directoryInForceSubject } from '../../../core/cluster/directory-subject.ts'
import { DirectoryReader } from '../../../core/ledger/directory-reader.ts'
import { encodeDeployment } from '../../../core/ledger/identity.ts'
import { deploymentSubject } from '../../../core/ledger/opening.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimLedger } from '../../../core/ports/sim/ledger.ts'
import { supplier } from '../../support/envelopes.ts'
import { ledgerOver } from '../../support/pass-through.ts'
import { settle } from '../../support/world.ts'

const subject = 'directory.2-90B3D51F30010000'
const active: PartyRecord = {
  revision: 1,
  status: 'active',
  role: 'IS',
  name: 'One',
  changedAtMs: 1,
  by: 'ann',
}
const deploymentOf = (format: number): Buffer =>
  encodeDeployment({ partitionCount: 4, identity: undefined, bucketSuffix: '', format })

async function begun(t: { teardown(action: () => unknown): unknown }) {
  const clock = new SimClock(1_800_000_000_000)
  const ledger = new SimLedger()
  const write = (name: string, data: Uint8Array) => ledger.commit([{ subject: name, data }])
  await write(deploymentSubject, deploymentOf(1))
  await write(subject, encodePartyRecord(active))
  /** While true nothing comes to a follower. */
  const silence = { isOn: false }
  const slow = ledgerOver(ledger, {
    follow: (name, from, onMessage) =>
      ledger.follow(name, from, (message) =>
        silence.isOn ? new Promise(() => {}) : onMessage(message),
      ),
    lastOn: async (name) => {
      asked.count++
      if (failure.isOn) throw new Error('no answer')
      const last = await ledger.lastOn(name)
      await asked.onAnswer()
      return last
    },
  })
  const asked = { count: 0, onAnswer: async (): Promise<void> => undefined }
  const failure = { isOn: false }
  const reader = new DirectoryReader({ ledger: slow, clock, log: silentLog })
  await reader.start()
  t.teardown(() => (silence.isOn ? undefined : reader.close()))
  return { clock, ledger, write, reader, silence, failure, asked }
}

t.test('what is there at the start is known, and what comes is followed', async (t) => {
  const { write, reader } = await begun(t)
  let changes = 0
  const callOff = reader.onChange(() => changes++)
  t.equal(reader.current.sequence, 2)
  t.equal(reader.current.format, 1)
  t.equal(reader.known.get(supplier)?.isSuspended, undefined)
  await write(subject, encodePartyRecord({ ...active, revision: 2, status: 'suspended' }))
  await write(directoryInForceSubject, Buffer.from('{}'))
  await write(deploymentSubject, deploymentOf(2))
  await settle()
  t.equal(reader.known.get(supplier)?.isSuspended, true)
  t.match(reader.current, { sequence: 4, isInForce: true, format: 2 })
  t.equal(changes, 3)
  callOff()
  await write(subject, encodePartyRecord({ ...active, revision: 3 }))
  await settle()
  t.equal(changes, 3)
})

t.test('a copy that is followed slowly is not fresh, and is when it was read again', async (t) => {
  const { clock, write, reader, silence } = await begun(t)
  silence.isOn = true
  t.equal(reader.isFresh, true)
  await write(subject, encodePartyRecord({ ...active, revision: 2, status: 'suspended' }))
  await settle()
  t.equal(reader.known.get(supplier)?.isSuspended, undefined)
  clock.advanceBy(limits.directoryLagMsMax)
  t.equal(reader.isFresh, false)
  t.equal(await reader.refresh(), true)
  t.equal(reader.isFresh, true)
  t.equal(reader.known.get(supplier)?.isSuspended, true)
})

t.test('it is read ahead when half of the time is over, and once', async (t) => {
  const { clock, write, reader, silence, asked } = await begun(t)
  silence.isOn = true
  await write(subject, encodePartyRecord({ ...active, revision: 2, status: 'suspended' }))
  const before = asked.count
  clock.advanceBy(limits.directoryLagMsMax / 2 - 1)
  reader.refreshAhead()
  t.equal(asked.count, before, 'the copy is young')
  clock.advanceBy(1)
  reader.refreshAhead()
  reader.refreshAhead()
  await settle()
  t.equal(asked.count, before + 1)
  t.equal(reader.known.get(supplier)?.isSuspended, true)
  clock.advanceBy(limits.directoryLagMsMax - 1)
  t.equal(reader.isFresh, true)
})

t.test('an answer that comes late makes nothing fresh', async (t) => {
  const { clock, write, reader, silence, asked } = await begun(t)
  silence.isOn = true
  const stop = async (): Promise<void> => clock.advanceBy(60_000)
  clock.advanceBy(limits.directoryLagMsMax / 2)
  asked.onAnswer = async () => {
    asked.onAnswer = async () => undefined
    await write(subject, encodePartyRecord({ ...active, revision: 2, status: 'suspended' }))
    await stop()
  }
  reader.refreshAhead()
  t.equal(await reader.refresh(), true, 'who joins the question waits for another answer')
  t.equal(reader.known.get(supplier)?.isSuspended, true)
  clock.advanceBy(limits.directoryLagMsMax)
  asked.onAnswer = stop
  t.equal(await reader.refresh(), false, 'asked twice, and late twice')
})

t.test('while the ledger does not answer it stays old, and says so', async (t) => {
  const { clock, reader, failure } = await begun(t)
  failure.isOn = true
  clock.advanceBy(limits.directoryLagMsMax)
  let answer: boolean | undefined
  void reader.refresh().then((isFresh) => (answer = isFresh))
  await settle()
  t.equal(answer, undefined, 'the caller asks again later')
  clock.advanceBy(limits.busyRetryMs)
  await settle()
  t.equal(answer, false)
  t.equal(reader.isFresh, false)
  failure.isOn = false
  t.equal(await reader.refresh(), true)
})

t.test('a record of a later version stops it by name', async (t) => {
  const { clock, write, reader } = await begun(t)
  await write('directory.9-90B3D51F30010000', Buffer.from('{}'))
  await settle()
  t.match(reader.trouble, /FORMAT_VERSION_LATER.*directory\.9-/)
  t.equal(reader.current.sequence, 2)
  await write(subject, encodePartyRecord({ ...active, revision: 2, status: 'suspended' }))
  await settle()
  t.equal(reader.current.sequence, 2, 'what stands behind it is not taken before it')
  const refreshing = reader.refresh()
  await settle()
  clock.advanceBy(limits.busyRetryMs)
  t.equal(await refreshing, false)
  t.match(reader.trouble, /FORMAT_VERSION_LATER/)
})

t.test('so does a deployment that writes a later format', async (t) => {
  const { clock, write, reader } = await begun(t)
  await write(deploymentSubject, deploymentOf(99))
  await settle()
  t.match(reader.trouble, /FORMAT_VERSION_LATER.*format 99/)
  const refreshing = reader.refresh()
  await settle()
  clock.advanceBy(limits.busyRetryMs)
  t.equal(await refreshing, false, 'and a later look does not forget it')
  t.match(reader.trouble, /format 99/)
})
