/**
 * A fleet of meters of many makers behind a real broker: each is reached as the devices file of the
 * simulator says, with nothing more said, also after the broker was killed. Those that a head-end
 * must handle by itself have no profile in their records.
 */
import t from 'tap'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { quirkNames, type QuirkName } from '../../actors/simulator/quirks/quirk-table.ts'
import { Deployment } from '../support/deployment.ts'
import { Load } from '../support/load.ts'

const unreachable: readonly QuirkName[] = [
  'closed-on-aarq',
  'useless-notifications',
  'useless-blocks',
]
const ofHdlc: readonly QuirkName[] = ['hdlc-without-llc', 'hdlc-llc-of-client', 'mode-e']
const refusals = quirkNames.filter((name) => name.startsWith('refusal-'))

/**
 * One entry for each, of equal shares; how they refuse shows only when another client has used
 * counters.
 */
function wordsOf(names: readonly QuirkName[]): string {
  const share = 1 / names.length
  return names
    .map((name) => (refusals.includes(name) ? `counter-advanced+${name}` : name))
    .map((name) => `${name}:${share}`)
    .join(',')
}

const overTcp = quirkNames.filter((name) => !unreachable.includes(name) && !ofHdlc.includes(name))
const cases: Array<[transport: string, names: readonly QuirkName[], arguments: string[]]> = [
  ['tcp', overTcp, ['--security-shares', '1,0,0', '--mechanisms', '2,3,4,5,6']],
  ['tcp', overTcp, ['--security-shares', '0,0.5,0.5', '--mechanisms', '5,7']],
  ['tcp', overTcp, []],
  ['hdlc', ofHdlc, ['--security-shares', '0.5,0,0']],
]

for (const [transport, names, more] of cases)
  t.test(`over ${transport}, ${more.join(' ') || 'in the clear'}`, async (t) => {
    const deployment = new Deployment({
      metersPerListener: 1,
      meterArguments: ['--transport', transport, '--quirks', wordsOf(names), ...more],
    })
    t.teardown(() => deployment.stop())
    // Each kind twice, and all of them among the electricity meters that are asked.
    await deployment.start(2 * names.length)
    const load = new Load(deployment)
    t.teardown(() => load.close())
    await load.progress(3)
    await deployment.killBroker()
    await deployment.startBroker()
    await load.progress()
    await load.finish()
    const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
    t.teardown(() => operator.close())
    await load.check(t, operator.ledger)
  })
