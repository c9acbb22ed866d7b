/** Parties that a start brings into the directory, when hosts reject them. */
import t from 'tap'
import { importParties } from '../../../actors/broker/directory-role.ts'
import { emptyDirectory, fixedDirectory } from '../../../core/access/directory.ts'
import { partiesOf, type Parties } from '../../../core/access/parties.ts'
import { limits } from '../../../core/base/limits.ts'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { serveHost } from '../../core/gateway/rig.ts'
import { settle } from '../../support/world.ts'

t.test('a party that cannot be imported is said once for each cause', async (t) => {
  const clock = new SimClock(1_800_000_000_000)
  const bus = new SimBus({ clock })
  const said: string[] = []
  const log = { ...silentLog, warn: (fields: { code?: string }) => void said.push(fields.code!) }
  let code: 'FORMAT_NOT_RAISED' | 'PARTY_RECORD_MALFORMED' = 'FORMAT_NOT_RAISED'
  let asked = 0
  await serveHost(bus, 'a', () => {
    asked++
    return { outcome: code }
  })
  const owners = { partitionCount: 1, ownerOf: () => 'a', changed: () => Promise.resolve() }
  const reader = { ...fixedDirectory({ ...emptyDirectory, format: 2 }), known: new Map() }
  const parties = partiesOf([
    { eui64: '90-B3-D5-1F-30-01-00-00', role: 'IS', name: 'Supplier' },
  ]) as Parties
  let isOver = false
  const wanted = { reader, parties, isStanding: false, isOver: () => isOver }
  const importing = importParties(
    { clock, log, config: {} } as never,
    { ledger: undefined, bus, owners } as never,
    wanted as never,
  )
  const turns = async (): Promise<void> => {
    const before = asked
    while (asked < before + 5) {
      clock.advanceBy(limits.unavailableRetryMs)
      await settle()
    }
  }
  await turns()
  t.strictSame(said, ['FORMAT_NOT_RAISED'])
  code = 'PARTY_RECORD_MALFORMED'
  await turns()
  t.strictSame(said, ['FORMAT_NOT_RAISED', 'PARTY_RECORD_MALFORMED'])
  isOver = true
  clock.advanceBy(limits.unavailableRetryMs)
  await importing
})
