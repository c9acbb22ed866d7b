/**
 * Meters under security suites 0, 1 and 2 behind a real broker, over each transport, while keys are
 * replaced, answers of meters that took them are lost, and the broker is killed: every request is
 * carried out once, and no meter is locked out.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { Deployment, kill } from '../support/deployment.ts'
import { Load } from '../support/load.ts'
import { polled } from '../support/polled.ts'

const entry = fileURLToPath(new URL('../../actors/main.ts', import.meta.url))

for (const transport of ['tcp', 'udp', 'hdlc'])
  t.test(`suites 0, 1 and 2 over ${transport}`, async (t) => {
    const deployment = new Deployment({
      metersPerListener: 4,
      meterArguments: ['--transport', transport, '--security-shares', '0.34,0.33,0.33'],
    })
    t.teardown(() => deployment.stop())
    await deployment.start(24)
    const { devices } = deployment
    const suites = new Set(devices.map(({ address }) => address.security?.suite))
    t.same([...suites].sort(), [0, 1, 2])
    const load = new Load(deployment)
    t.teardown(() => load.close())
    await load.progress(3)
    if (transport === 'tcp') await replaceAll(t, deployment, load)
    await deployment.killBroker()
    await deployment.startBroker()
    await load.progress()
    if (transport !== 'tcp') {
      // They come back with the keys that they were made with, so not after a replacement.
      await load.outage(async () => {
        await kill(deployment.meters!)
        await deployment.startMeters()
      })
      await load.progress()
    }
    await load.finish()

    const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
    t.teardown(() => operator.close())
    await load.check(t, operator.ledger)
  })

/** New keys for every meter; one in four takes them and does not say so. */
async function replaceAll(t: Test, deployment: Deployment, load: Load): Promise<void> {
  const busbar = (...args: string[]) =>
    spawnSync(process.execPath, [entry, ...args], { encoding: 'utf8' })
  const status = () => {
    const { stdout } = busbar('keys', 'status', '--json', '--data-dir', deployment.brokerDir)
    return JSON.parse(stdout) as { keyed: number; replacing: number; unreadable: number }
  }
  await deployment.tellMeters('lose-key-answer@25%')
  const all = deployment.devices.map(({ eui64 }) => eui64)
  const { ops } = deployment.listening
  const replaced = busbar('keys', 'replace', ...all, '--ops', ops)
  t.equal(replaced.status, 0, replaced.stdout + replaced.stderr)
  await deployment.killBroker()
  await deployment.startBroker()
  await load.progress()
  await deployment.tellMeters('')
  // A host that has just started counts them as it goes through its devices.
  const seen = await polled(status, (its) => its.replacing === 0 && its.keyed >= all.length)
  t.match(seen, { keyed: all.length, replacing: 0, unreadable: 0 })
  await load.progress(3)
}
