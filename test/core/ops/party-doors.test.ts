/**
 * Which identity the party doors ask for: certificates unless the operator says otherwise, a header
 * on loopback alone; and certificates for development, made where there are none.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { demoParties } from '../../../core/access/parties.ts'
import { isLoopbackAddress } from '../../../core/base/loopback.ts'
import { loadConfig } from '../../../core/ops/config.ts'
import { ensureDevelopmentPki } from '../../../core/ops/development-pki.ts'
import { issuedIn, readDoorFiles } from '../../../core/ops/pki-folder.ts'
import { pkiPorts } from '../../support/pki.ts'

const configOf = (env: Record<string, string>) => loadConfig({ env, workingDir: '/busbar' })
const insecure = { BUSBAR_INSECURE_PARTY_HEADER: 'true' }

t.test('certificates are the default, a header is not', async (t) => {
  t.same(configOf({}).pki, { folder: '/busbar/.busbar/data/pki', isDevelopment: true })
  const given = configOf({ BUSBAR_PKI: 'pki', BUSBAR_GRPC: '0.0.0.0:1' })
  t.same(given.pki, { folder: '/busbar/pki', isDevelopment: false })
  t.equal(configOf(insecure).pki, undefined)
  t.throws(() => configOf({ BUSBAR_INSECURE_PARTY_HEADER: 'yes' }), { code: 'CONFIG_INVALID' })
})

t.test('a header names the party on loopback addresses alone', async (t) => {
  for (const host of ['0.0.0.0', '[::]', '192.0.2.1', 'busbar.example'])
    for (const door of ['BUSBAR_GRPC', 'BUSBAR_HTTP'])
      t.throws(
        () => configOf({ ...insecure, [door]: `${host}:7` }),
        { code: 'CONFIG_INVALID', message: /no loopback address/ },
        `${door} ${host}`,
      )
  t.doesNotThrow(() =>
    configOf({ ...insecure, BUSBAR_GRPC: '[::1]:7', BUSBAR_HTTP: 'localhost:8' }),
  )
  const host = { ...insecure, BUSBAR_ROLES: 'host,wan', BUSBAR_GRPC: '0.0.0.0:7' }
  t.doesNotThrow(() => configOf(host), 'a process without party doors')
  for (const host of ['127.0.0.1', '::1', 'localhost', '127.9.9.9'])
    t.ok(isLoopbackAddress(host), host)
  for (const host of ['0.0.0.0', '::', '0:0::0', '192.0.2.1', 'busbar.example'])
    t.notOk(isLoopbackAddress(host), host)
})

t.test('certificates for development are made once, and completed', async (t) => {
  const folder = join(t.testdir(), 'pki')
  const parties = demoParties()
  const [first, ...others] = [...parties]
  const doors = ['0.0.0.0', '::', '192.0.2.1']
  t.ok(await ensureDevelopmentPki(folder, new Map([first!]), doors, pkiPorts))
  t.equal(readdirSync(join(folder, 'parties')).length, 2)
  t.equal(statSync(join(folder, 'ca.key')).mode & 0o777, 0o600)
  t.ok(await ensureDevelopmentPki(folder, new Map(others), doors, pkiPorts), 'further parties')
  t.notOk(await ensureDevelopmentPki(folder, parties, doors, pkiPorts), 'nothing is missing')
  t.equal(issuedIn(folder).length, parties.size + 1)
  t.equal(readDoorFiles(folder).trust.ca.length, 1)
})
