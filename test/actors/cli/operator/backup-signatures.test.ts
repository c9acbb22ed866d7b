/**
 * A backup is restored when two different operators have signed it: every other signature is
 * refused by name, and nothing is made before.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { Manifest } from '../../../../actors/cli/operator/backup.ts'
import {
  checkBackupSignatures,
  signBackup,
} from '../../../../actors/cli/operator/backup-signatures.ts'
import { restoreInto } from '../../../../actors/cli/operator/restore.ts'
import type { BrokerError } from '../../../../core/base/broker-error.ts'
import { issueToken, readOperators } from '../../../../core/ops/operators-folder.ts'
import { issuedIn, issueInto, readTrust, revokeIn } from '../../../../core/ops/pki-folder.ts'
import { systemClock } from '../../../../core/ports/clock.ts'
import { systemRandom } from '../../../../core/ports/random.ts'
import { supplierText } from '../../../support/envelopes.ts'
import { issueParty, newPki, pkiPorts, shiftedClock } from '../../../support/pki.ts'

const dayMs = 86_400_000
const pki = await newPki()
const people = mkdtempSync(join(tmpdir(), 'busbar-people-'))
for (const [name, role] of [
  ['ann', 'security-officer'],
  ['bob', 'security-officer'],
  ['cat', 'operator'],
] as const) {
  const wanted = { name, role, isRenewal: false, tokenFile: join(people, `${name}.token`) }
  issueToken(people, wanted, systemRandom)
}

const filesAt = (path: string) => ({
  certificatePem: readFileSync(path, 'utf8'),
  keyPem: readFileSync(path.replace(/crt$/, 'key'), 'utf8'),
})
const issue = async (name: string, folder = pki, clock = systemClock) => {
  const wanted = { days: 10, isRenewal: true }
  const subject = { kind: 'operator', name } as const
  return filesAt(await issueInto(folder, subject, wanted, { ...pkiPorts, clock }))
}
// One after the other: each command locks the folder.
const ann = await issue('ann')
const bob = await issue('bob')
const cat = await issue('cat')
const dan = await issue('dan')

/** A backup whose file is what the manifest says. */
function newBackup(more: Partial<Manifest> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-signed-'))
  const records = Buffer.from('records')
  const sha256 = createHash('sha256').update(records).digest('hex')
  writeFileSync(join(folder, 'ledger.backup'), records)
  const manifest = { version: 1, sha256, cursors: 0, audit: { lastSequence: 7 }, ...more }
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest))
  return folder
}

const signatories = () => ({ operators: readOperators(people), trust: readTrust(pki) })
const check = (folder: string, nowMs = systemClock.now()): readonly string[] =>
  checkBackupSignatures(folder, signatories(), nowMs)
/** Why the signatures are too few. */
function refusalOf(t: Test, folder: string, nowMs?: number): string {
  try {
    check(folder, nowMs)
  } catch (fault) {
    t.equal((fault as BrokerError).code, 'BACKUP_SIGNATURES_MISSING')
    return (fault as BrokerError).detail ?? ''
  }
  t.fail('the signatures were enough')
  return ''
}

t.test('two different operators have to sign, whatever the number of signatures', async (t) => {
  const folder = newBackup()
  t.match(refusalOf(t, folder), /nobody has signed it/)
  t.same(signBackup(folder, ann), { name: 'ann', count: 1 })
  t.match(refusalOf(t, folder), /only ann/)
  t.same(signBackup(folder, ann), { name: 'ann', count: 1 }, 'again: it is replaced')
  const renewed = await issue('ann')
  t.same(signBackup(folder, renewed), { name: 'ann', count: 2 })
  t.match(refusalOf(t, folder), /only ann/, 'two certificates of one operator are one operator')
  signBackup(folder, bob)
  t.same(check(folder), ['ann', 'bob'])
  const path = join(folder, 'manifest.json')
  writeFileSync(path, readFileSync(path, 'utf8').replace('"cursors":0', '"cursors":1'))
  t.match(refusalOf(t, folder), /the signature of bob is not one of this manifest/)
})

t.test('signatures that do not count are named', async (t) => {
  const folder = newBackup()
  signBackup(folder, ann)
  signBackup(folder, cat)
  t.match(refusalOf(t, folder), /cat has the role operator/)
  signBackup(folder, dan)
  t.match(refusalOf(t, folder), /dan is not in the list/)
  const other = await newPki()
  signBackup(folder, await issue('bob', other))
  t.match(refusalOf(t, folder), /OPERATOR_CERTIFICATE_UNTRUSTED: bob/)
  signBackup(folder, await issue('bob', pki, shiftedClock(-20 * dayMs)))
  t.match(refusalOf(t, folder), /OPERATOR_CERTIFICATE_EXPIRED: bob/)

  const next = newBackup()
  const lost = await issue('bob')
  signBackup(next, ann)
  signBackup(next, lost)
  t.same(check(next), ['ann', 'bob'])
  t.match(refusalOf(t, next, systemClock.now() + 11 * dayMs), /EXPIRED: ann.*EXPIRED: bob/)
  const pem = lost.certificatePem
  const serial = issuedIn(pki).find(({ certificate: { serial: one } }) =>
    readFileSync(join(pki, 'issued', `${one}.crt`), 'utf8').includes(pem),
  )!.certificate.serial
  await revokeIn(pki, serial, pkiPorts)
  t.match(refusalOf(t, next), /OPERATOR_CERTIFICATE_REVOKED: bob/)
})

t.test('parties and doors sign nothing, and a key signs for its own certificate', async (t) => {
  const folder = newBackup()
  const invalid = { code: 'PKI_FILE_INVALID' }
  t.throws(() => signBackup(folder, { ...ann, keyPem: bob.keyPem }), invalid)
  const party = filesAt(await issueParty(pki, supplierText))
  t.throws(() => signBackup(folder, party), { ...invalid, detail: /one of a party/ })
  const door = filesAt(join(pki, 'server.crt'))
  t.throws(() => signBackup(folder, door), { ...invalid, detail: /purpose/ })
  t.notOk(existsSync(join(folder, 'signatures.json')))
  // Who has the key of a door could write the file by other means.
  const list = (one: { certificatePem: string }) => ({
    version: 1,
    signatures: [{ certificate: one.certificatePem, signature: 'AA==' }],
  })
  for (const one of [party, door]) {
    writeFileSync(join(folder, 'signatures.json'), JSON.stringify(list(one)))
    t.match(refusalOf(t, folder), /OPERATOR_CERTIFICATE_INVALID/)
  }
  writeFileSync(join(folder, 'signatures.json'), JSON.stringify(list(ann)))
  t.match(refusalOf(t, folder), /the signature of ann is not one/)
  for (const text of ['', '{}', '{"version":1,"signatures":[1]}']) {
    writeFileSync(join(folder, 'signatures.json'), text)
    t.throws(() => check(folder), { code: 'BACKUP_DAMAGED' })
  }
})

t.test('without them nothing is restored', async (t) => {
  const dataDir = join(mkdtempSync(join(tmpdir(), 'busbar-restore-')), 'data')
  const missing = { code: 'BACKUP_SIGNATURES_MISSING' }
  const unsigned = newBackup({ needsSignatures: true })
  await t.rejects(restoreInto({ dataDir }, unsigned), missing, 'the manifest says so')
  const plain = newBackup()
  const trust = { signatories: signatories() }
  await t.rejects(restoreInto({ dataDir }, plain, 1, trust), missing, 'operators are named')
  t.notOk(existsSync(dataDir), 'nothing was made')
})

t.test('the commands', async (t) => {
  const folder = newBackup({ needsSignatures: true })
  const busbar = (...words: string[]): Promise<string> =>
    promisify(execFile)(process.execPath, [resolve('actors/main.ts'), ...words], {
      env: { ...process.env, NO_COLOR: '1' },
    }).then(
      ({ stdout }) => stdout,
      (fault: { stdout: string; stderr: string }) => fault.stdout + fault.stderr,
    )
  const paths = join(folder, 'keys')
  mkdirSync(paths)
  writeFileSync(join(paths, 'crt'), ann.certificatePem)
  writeFileSync(join(paths, 'key'), ann.keyPem)
  const files = ['--operator-cert', join(paths, 'crt'), '--operator-key', join(paths, 'key')]
  t.match(await busbar('backup', 'sign', folder, ...files), /^ann has signed .*up to 7, SHA-256/)
  const dataDir = join(folder, 'data')
  const restore = ['restore', folder, '--data-dir', dataDir]
  t.match(await busbar(...restore), /BACKUP_SIGNATURES_MISSING/)
  t.match(await busbar(...restore, '--operators', people), /CONFIG_INVALID.*BUSBAR_PKI/s)
  const signed = await busbar(...restore, '--operators', people, '--pki', pki)
  t.match(signed, /BACKUP_SIGNATURES_MISSING.*only ann has signed it/s)
  t.notOk(existsSync(dataDir))
  writeFileSync(join(folder, 'ledger.backup'), 'other records')
  t.match(await busbar('backup', 'sign', folder, ...files), /BACKUP_DAMAGED/)
})
