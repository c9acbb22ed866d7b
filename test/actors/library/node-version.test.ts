/** Which Node the package refuses, and that all three places say the same. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { checkNodeVersion, nodeVersionMin } from '../../../actors/library/node-version.ts'

const read = (path: string): string =>
  readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')

t.test('older ones are refused with the version that is needed', async (t) => {
  for (const version of ['20.20.2', '22.11.0', '18.0.0'])
    t.throws(() => checkNodeVersion(version), { code: 'CONFIG_INVALID', message: /22\.12/ })
  for (const version of ['22.12.0', '22.23.5', '24.0.0', '26.1.0', process.versions.node])
    t.doesNotThrow(() => checkNodeVersion(version), version)
})

t.test('package.json and the command say the same', async (t) => {
  const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } }
  t.equal(engines.node, `>=${nodeVersionMin.join('.')}`)
  t.match(read('core/ops/setup/busbar.mjs'), `([${nodeVersionMin.join(', ')}])`)
})
