/** What a client sends of its credentials is what the gateways identify it by. */
import { test } from 'tap'
import { credentialHeaders } from '../../../core/access/credentials.ts'
import { identify } from '../../../core/access/identity.ts'
import { demoParties } from '../../../core/access/parties.ts'

test('the headers of credentials identify the party, in every spelling', (t) => {
  const parties = demoParties()
  for (const party of ['90B3D51F30010000', '90-b3-d5-1f-30-01-00-00', '90:B3:D5:1F:30:01:00:00']) {
    const headers = credentialHeaders({ party })
    t.same(Object.keys(headers), ['x-busbar-party'])
    const found = identify(headers['x-busbar-party'], parties)
    t.type(found, 'object', `${party} is known`)
  }
  t.equal(
    identify(credentialHeaders({ party: 'x' })['x-busbar-party'], parties),
    'PARTY_HEADER_MALFORMED',
  )
  t.end()
})
