/** `busbar pki`: folders, modes, revocation, and what it says of what is wrong. */
import { spawnSync } from 'node:child_process'
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  initCommand,
  issueCommand,
  revokeCommand,
  showCommand,
} from '../../../../actors/cli/operator/pki-program.ts'
import { BrokerError } from '../../../../core/base/broker-error.ts'
import { parseEui64, readEui64 } from '../../../../core/base/eui64.ts'
import { readDoorFiles, readPartyFiles } from '../../../../core/ops/pki-folder.ts'
import { checkPartyCertificate } from '../../../../core/pki/party-check.ts'
import { pemBlocks } from '../../../../core/pki/der.ts'
import { systemClock } from '../../../../core/ports/clock.ts'
import { issueParty, newPki, shiftedClock } from '../../../support/pki.ts'

const party = '90-B3-D5-1F-30-01-00-00'
const codeOf = (fault: unknown): string =>
  fault instanceof BrokerError ? fault.code : `${String(fault)}`
const refusalOf = async (action: Promise<unknown>): Promise<string> =>
  action.then(() => 'done', codeOf)

t.test('a folder is made, a party gets a certificate, and loses it', async (t) => {
  const folder = join(t.testdir(), 'pki')
  const lines: string[] = []
  const out = (line: string): void => void lines.push(line)
  await initCommand(folder, { name: 'Test', hosts: 'localhost,127.0.0.1', days: 20 }, out)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  for (const name of ['ca.crt', 'ca.key', 'crl.pem', 'server.crt', 'server.key'])
    t.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name)
  t.equal(
    await refusalOf(initCommand(folder, { name: 'Test', hosts: 'a', days: 1 }, out)),
    'PKI_NAME_TAKEN',
  )
  const wishes = { pki: folder, party, role: 'IS', renew: false, days: 5 }
  await issueCommand(wishes, out)
  t.equal(statSync(join(folder, 'parties', `${party}.key`)).mode & 0o777, 0o600)
  t.equal(await refusalOf(issueCommand(wishes, out)), 'PKI_NAME_TAKEN')
  await issueCommand({ pki: folder, operator: 'ann', renew: false, days: 900 }, out)
  t.match(lines.join('\n'), new RegExp(`parties/${party}.crt  valid for 5 days`))
  const check = (): string => {
    const { certificatePem } = readPartyFiles(folder, party)
    const [der] = pemBlocks(certificatePem, 'CERTIFICATE')
    const result = checkPartyCertificate(der!, systemClock.now(), readDoorFiles(folder).trust)
    return 'code' in result ? result.code : result.eui64
  }
  t.equal(check(), readEui64(parseEui64(party)!))
  lines.length = 0
  t.equal(showCommand({ pki: folder, json: true }, out), 0)
  const rows = lines.map((line) => JSON.parse(line))
  const rowOf = (wanted: string) => rows.find(({ subject }) => subject === wanted)
  for (const [subject, roleCode] of [
    ['Test', '07'],
    [party, '02'],
    ['localhost', '04'],
    ['ann', '04'],
  ] as const)
    t.match(rowOf(subject), { roleCode, state: 'valid' }, subject)
  t.equal(rowOf('ann').validTo, rowOf('Test').validTo, 'nobody outlives the authority')
  await revokeCommand(party, { pki: folder, renew: false }, out)
  t.equal(check(), 'PARTY_CERTIFICATE_REVOKED')
  lines.length = 0
  await revokeCommand(party, { pki: folder, renew: false }, out)
  t.same(lines, ['every certificate of it was revoked before'])
  await issueCommand({ ...wishes, renew: true }, out)
  t.equal(check(), readEui64(parseEui64(party)!), 'a new one is good')
  await revokeCommand(rowOf('localhost').serial, { pki: folder, renew: false, days: 1 }, out)
  await revokeCommand(undefined, { pki: folder, renew: true }, out)
  lines.length = 0
  showCommand({ pki: folder, json: false }, out)
  t.match(lines.join('\n'), /localhost +04 +revoked/)
  t.equal(lines.filter((line) => line.includes('revoked')).length, 2)
})

t.test('what is wrong is said with its code', async (t) => {
  const folder = await newPki()
  await issueParty(folder, party)
  const out = (): void => undefined
  const revoke = (what: string) =>
    refusalOf(revokeCommand(what, { pki: folder, renew: false }, out))
  t.equal(await revoke('00-11-22-33-44-55-66-77'), 'PKI_CERTIFICATE_UNKNOWN')
  writeFileSync(join(folder, '.lock'), '')
  t.equal(await revoke(party), 'PKI_FILE_INVALID', 'another command is at work')
  t.throws(() => readPartyFiles(folder, '90-B3-D5-1F-30-02-00-00'), { code: 'PKI_FILE_INVALID' })
  t.throws(() => readPartyFiles(join(folder, 'none'), party), { code: 'PKI_FILE_INVALID' })
  appendFileSync(join(folder, 'pins'), `${party} beef\n`)
  t.throws(() => readDoorFiles(folder), { code: 'PKI_FILE_INVALID', message: /pins line 1/ })
  writeFileSync(join(folder, 'pins'), `# none\n${party} ${'ab'.repeat(32)}\n`)
  t.equal(readDoorFiles(folder).trust.pins.size, 1)
  writeFileSync(join(folder, 'crl.pem'), readFileSync(join(folder, 'ca.crt')))
  t.equal(readDoorFiles(folder).trust.crl.length, 0, 'without a list nobody is let in')
  writeFileSync(join(folder, 'ca.crt'), 'no certificate')
  t.throws(() => readDoorFiles(folder), { code: 'PKI_FILE_INVALID' })
})

t.test('an authority that is out of date is shown as such', async (t) => {
  const folder = await newPki(1, shiftedClock(-3 * 86_400_000))
  const lines: string[] = []
  t.equal(
    showCommand({ pki: folder, json: false }, (line) => void lines.push(line)),
    1,
  )
  t.match(lines.at(-1), /out of date/)
})

t.test('options are checked before anything is read', async (t) => {
  const main = join(import.meta.dirname, '../../../../actors/main.ts')
  const run = (...words: string[]) =>
    spawnSync(process.execPath, [main, 'pki', ...words], { cwd: t.testdir(), encoding: 'utf8' })
  for (const words of [
    ['issue'],
    ['issue', '--party', party, '--operator', 'ann'],
    ['issue', '--party', party],
    ['issue', '--party', 'x', '--role', 'IS'],
    ['issue', '--operator', '../ann'],
    ['issue', '--hosts', 'a', '--days', '0'],
    ['revoke'],
    ['revoke', party, '--renew'],
  ])
    t.equal(run(...words).status, 2, words.join(' '))
  const { status, stderr } = run('show')
  t.equal(status, 1)
  t.match(stderr, /PKI_FILE_INVALID/)
})
