/**
 * The file of key-encryption keys: where it may lie, who may read it, what it may hold, and how it
 * is rotated.
 */
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../../core/ops/config.ts'
import {
  keyEncryptionKeyOf,
  openVault,
  readKeyFile,
  rotateKeyFile,
} from '../../../core/ops/key-encryption-keys.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { deviceKey } from '../../support/envelopes.ts'

const hex = '0f'.repeat(32)
const invalid = (message: RegExp) => ({ code: 'CONFIG_INVALID', message })

t.test('keys are hexadecimal or base64 of 32 octets', async (t) => {
  const key = keyEncryptionKeyOf(hex)!
  t.ok(keyEncryptionKeyOf(Buffer.from(hex, 'hex').toString('base64'))!.equals(key))
  for (const text of ['', '0f', hex.slice(1), `${hex}0`, 'x'.repeat(42)])
    t.equal(keyEncryptionKeyOf(text), undefined, text)
})

t.test('the file: mode, contents, and the lines that are none', async (t) => {
  const path = join(t.testdir({}), 'keys')
  const write = (text: string, mode = 0o600): void => {
    writeFileSync(path, text)
    chmodSync(path, mode)
  }
  t.throws(() => readKeyFile(path), invalid(/cannot be read \(ENOENT\)/))
  write(`# ours\n\n${hex}\n${'aa'.repeat(32)}\n`)
  t.equal(readKeyFile(path).length, 2)
  write(hex, 0o640)
  t.throws(() => readKeyFile(path), invalid(/may be used by others \(mode 640\)/))
  write('')
  t.throws(() => readKeyFile(path), invalid(/is empty/))
  write(`${hex}\n${hex.slice(2)}secret\n`)
  t.throws(() => readKeyFile(path), invalid(/in line 2\)/))
  try {
    readKeyFile(path)
  } catch (fault) {
    t.notMatch(String(fault), /secret|0f0f/)
  }
})

t.test('in the data directory it is refused, also through links', async (t) => {
  const folder = t.testdir({ data: { keys: `${hex}\n` }, beside: `${hex}\n` })
  chmodSync(join(folder, 'data/keys'), 0o600)
  chmodSync(join(folder, 'beside'), 0o600)
  symlinkSync(join(folder, 'data'), join(folder, 'linked'))
  const open = (path: string) =>
    openVault({ kind: 'file', path: join(folder, path) }, join(folder, 'data'), silentLog)
  t.throws(() => open('data/keys'), invalid(/lies in the data directory/))
  t.throws(() => open('linked/keys'), invalid(/lies in the data directory/))
  t.type(open('beside').currentName(), 'string')
  mkdirSync(join(folder, 'data-too'))
  t.type(
    openVault({ kind: 'file', path: join(folder, 'beside') }, join(folder, 'data-too'), silentLog),
    Object,
  )
})

t.test('rotation writes a new first line, and a running vault takes it', async (t) => {
  const path = join(t.testdir({}), 'keys')
  t.equal(rotateKeyFile(path).count, 1, 'made when it is not there')
  t.equal(statSync(path).mode & 0o777, 0o600)
  const vault = openVault({ kind: 'file', path }, '/nowhere', silentLog)
  const before = vault.currentName()
  const sealed = vault.seal(deviceKey(1), {})
  const text = readFileSync(path, 'utf8')
  const { count, name } = rotateKeyFile(path)
  t.equal(count, 2)
  t.equal(name, vault.currentName())
  t.ok(readFileSync(path, 'utf8').endsWith(text), 'what it held stays')
  t.not(vault.currentName(), before)
  t.same(vault.open(deviceKey(1), sealed), {})
  writeFileSync(path, 'broken')
  t.type(vault.currentName(), 'string', 'what it had goes on')
  t.throws(() => rotateKeyFile(path), { code: 'CONFIG_INVALID' })
})

t.test('configuration: one of the two, never on the command line, never shown', async (t) => {
  const load = (env: Record<string, string>, options = {}) =>
    loadConfig({ env, options, workingDir: '/srv' }).keyEncryption
  t.same(load({}), { kind: 'none' })
  t.same(load({ BUSBAR_KEY_ENCRYPTION_KEY_FILE: 'k' }), { kind: 'file', path: '/srv/k' })
  const given = load({ BUSBAR_KEY_ENCRYPTION_KEY: `${hex}, ${'ab'.repeat(32)}` })
  t.equal(given.kind === 'given' && given.keys.length, 2)
  t.notMatch(JSON.stringify(given), /0f0f/)
  t.same(load({}, { keyEncryptionKey: hex }), { kind: 'none' }, 'not from the command line')
  t.throws(
    () => load({ BUSBAR_KEY_ENCRYPTION_KEY: hex, BUSBAR_KEY_ENCRYPTION_KEY_FILE: 'k' }),
    invalid(/both given/),
  )
  try {
    load({ BUSBAR_KEY_ENCRYPTION_KEY: '0f0f0f' })
    t.fail('too short')
  } catch (fault) {
    t.match(String(fault), /64 hexadecimal digits/)
    t.notMatch(String(fault), /0f0f/)
  }
})
