/**
 * The store of a single nats-server is damaged while it is stopped: a bit flipped, a block cut
 * short, the block lost, the index lost. A broker that is started on it either refuses by a named
 * error or says what is damaged; it never serves the rest as if it were whole.
 */
import { cpSync, existsSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { verify } from '../../actors/cli/operator/ledger-commands.ts'
import { openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { Deployment } from '../support/deployment.ts'
import { Load } from '../support/load.ts'
import { polled } from '../support/polled.ts'
import { damage, streamFolder, type Damage } from '../support/store-damage.ts'

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
t.comment(`SEED=${seed}`)

const deployment = new Deployment({ logTo: 'log' })
t.teardown(() => deployment.stop())
await deployment.start(5)
const load = new Load(deployment)
t.teardown(() => load.close())
await load.progress(8)
await load.finish()
await deployment.broker!.stop()

const storeDir = join(deployment.brokerDir, 'nats')
const kept = join(deployment.dataDir, 'kept')
cpSync(deployment.brokerDir, kept, { recursive: true })
const index = join(streamFolder(storeDir, 'LEDGER'), 'msgs', 'index.db')

type Health = { status: string; reasons: string[]; degraded: string[] }

/** Starts the broker; settles with what it says about its ledger: an error's text, or readiness. */
async function said(isEnough: (health: Health) => boolean): Promise<string> {
  truncateSync(deployment.logFile!)
  const log = (): string => readFileSync(deployment.logFile!, 'utf8')
  try {
    await deployment.startBroker()
  } catch (fault) {
    return `refused: ${String(fault)} ${log()}`
  }
  const ready = async (): Promise<string | undefined> => {
    const answer = await fetch(`http://${deployment.listening.ops}/health/ready`).catch(
      () => undefined,
    )
    const health = (await answer?.json()) as Health | undefined
    if (health && isEnough(health)) return JSON.stringify(health)
    return deployment.broker!.process.exitCode === null ? undefined : `ended: ${log()}`
  }
  const text = await polled(ready, (one) => one !== undefined)
  return text!
}

async function restore(): Promise<void> {
  await deployment.broker?.stop()
  rmSync(deployment.brokerDir, { recursive: true })
  cpSync(kept, deployment.brokerDir, { recursive: true })
}

/** What `ledger verify` says of the running deployment. */
async function verified(): Promise<{ code: number; text: string }> {
  const lines: string[] = []
  try {
    const operator = await openOperatorLedger({ url: deployment.natsUrl })
    try {
      const print = (line: string) => void lines.push(line)
      const code = await verify(operator.ledger, print, false, operator.replicaSource)
      return { code, text: lines.join('\n') }
    } finally {
      await operator.close()
    }
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return { code: 1, text: `${fault.code} ${fault.detail}` }
  }
}

const named = /LEDGER_[A-Z_]+/

for (const what of ['flip', 'truncate', 'lose'] as const satisfies readonly Damage[])
  t.test(what, async (t) => {
    const { at, firstSequence } = damage(storeDir, 'LEDGER', what, seed)
    t.comment(`octet ${at}, sequence ${firstSequence}`)
    const text = await said(
      ({ reasons, degraded }) => named.test(reasons.join()) || named.test(degraded.join()),
    )
    t.match(text, what === 'flip' ? /LEDGER_REPLICA_DAMAGED/ : /LEDGER_(ROLLED_BACK|MISSING)/)
    t.comment(text.slice(0, 1_000))
    if (!text.startsWith('refused') && !text.startsWith('ended')) {
      const { code, text: found } = await verified()
      t.equal(code, 1)
      t.match(found, /FAULT|LEDGER_/)
      t.comment(found)
    }
    await restore()
  })

t.test('lost index', async (t) => {
  t.ok(existsSync(index), 'nats-server keeps one')
  rmSync(index)
  const text = await said(({ status }) => status !== 'unready')
  t.match(text, '"ready"', 'the server makes it from the blocks')
  t.same(await verified().then(({ code }) => code), 0)
})
