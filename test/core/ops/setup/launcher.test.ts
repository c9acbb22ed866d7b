/**
 * The launcher of a clone: it ends as its child ends, as process 1 of a container too; it runs
 * where another user installed it, and where nothing can be written. Tests that need namespaces, or
 * to be another user, are skipped where that is not permitted.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const root = join(fileURLToPath(import.meta.url), '../../../../..')
/** Nothing of ours: the launcher finds what it needs by itself. */
const env: NodeJS.ProcessEnv = { PATH: process.env['PATH'] }
const nobody = 65_534

const unshare = (...args: string[]): boolean =>
  spawnSync('unshare', [...args, 'true'], { stdio: 'ignore' }).status === 0
const withoutNamespaces = unshare('--pid', '--fork', '--mount-proc')
  ? false
  : 'PID namespaces are not permitted here'
const withoutMounts = unshare('-m') ? false : 'mount namespaces are not permitted here'
const withoutUsers =
  process.getuid?.() === 0 &&
  spawnSync(process.execPath, ['--version'], { env, uid: nobody, gid: nobody }).status === 0
    ? false
    : 'only root can become another user, who must be able to run this Node'

/** A project in small with one package, as `npm ci` leaves it. */
function projectOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-launcher-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const lock = { lockfileVersion: 3, packages: { '': {}, 'node_modules/a': { version: '1.0.0' } } }
  mkdirSync(join(folder, 'core/ops/setup'), { recursive: true })
  for (const name of [
    'setup/apt-sources.mjs',
    'setup/bootstrap.mjs',
    'setup/child-environment.mjs',
    'setup/nats-obtain.mjs',
    'setup/nats-server.mjs',
    'pinned-node',
  ])
    cpSync(join(root, 'core/ops', name), join(folder, 'core/ops', name), { recursive: true })
  mkdirSync(join(folder, 'node_modules/a'), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock))
  writeFileSync(join(folder, 'node_modules/.package-lock.json'), JSON.stringify(lock))
  writeFileSync(join(folder, 'node_modules/a/package.json'), '{"version":"1.0.0"}')
  writeFileSync(join(folder, 'program.mjs'), 'console.log("ran", ...process.argv.slice(2))')
  chmodSync(folder, 0o755)
  return folder
}

const launch = (folder: string, ...args: string[]): string[] => [
  join(folder, 'core/ops/setup/bootstrap.mjs'),
  'program.mjs',
  ...args,
]

t.test('ends as its child ends: with its code, or of its signal', (t) => {
  const folder = projectOf(t)
  const program = join(folder, 'program.mjs')
  for (const [text, status, signal] of [
    ['process.exit(0)', 0, null],
    ['process.exit(7)', 7, null],
    ['process.kill(process.pid, "SIGKILL")', null, 'SIGKILL'],
    ['process.kill(process.pid, "SIGSEGV")', null, 'SIGSEGV'],
    ['process.kill(process.pid, "SIGTERM")', null, 'SIGTERM'],
  ] as const) {
    writeFileSync(program, text)
    t.match(spawnSync(process.execPath, launch(folder), { env }), { status, signal }, text)
  }
  t.end()
})

t.test(
  'as process 1 it ends with 128 + the signal that ended its child',
  { skip: withoutNamespaces },
  (t) => {
    const folder = projectOf(t)
    const program = join(folder, 'program.mjs')
    for (const [text, status] of [
      ['process.exit(0)', 0],
      ['process.exit(7)', 7],
      ['process.kill(process.pid, "SIGKILL")', 137],
      ['process.kill(process.pid, "SIGSEGV")', 139],
      ['process.kill(process.pid, "SIGABRT")', 134],
      ['process.kill(process.pid, "SIGTERM")', 143],
      // A signal that comes to process 1 is passed on, and decided by the child.
      [
        'process.on("SIGTERM", () => process.exit(5)); process.kill(1, "SIGTERM"); setInterval(() => {}, 1e3)',
        5,
      ],
      ['process.kill(1, "SIGTERM"); setInterval(() => {}, 1e3)', 143],
    ] as const) {
      writeFileSync(program, text)
      const args = ['--pid', '--fork', '--mount-proc', process.execPath, ...launch(folder)]
      t.match(spawnSync('unshare', args, { env }), { status, signal: null }, text)
    }
    t.end()
  },
)

t.test('an installation of root runs for another user', { skip: withoutUsers }, (t) => {
  const folder = projectOf(t)
  const run = () =>
    spawnSync(process.execPath, launch(folder, 'well'), {
      env,
      uid: nobody,
      gid: nobody,
      encoding: 'utf8',
    })
  t.match(run(), { status: 0, stdout: 'ran well\n', stderr: '' })
  t.notOk(existsSync(join(folder, '.busbar')), 'nothing is written')
  mkdirSync(join(folder, '.busbar'))
  t.match(run(), { status: 0, stdout: 'ran well\n', stderr: '' })
  // A stamp of another lock file, or none that can be read, is not needed either.
  writeFileSync(join(folder, 'node_modules/.busbar-stamp'), 'old')
  t.match(run(), { status: 0, stdout: 'ran well\n', stderr: '' })

  rmSync(join(folder, 'node_modules/a'), { recursive: true })
  const { status, stderr } = run()
  t.equal(status, 1)
  t.match(stderr, /is not installed whole, and this user may not write .*npm ci --omit=dev/)
  t.notMatch(stderr, /\n +at /, 'no stack')
  t.end()
})

t.test('an installation on a read-only file system runs', { skip: withoutMounts }, (t) => {
  const folder = projectOf(t)
  const script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
  const args = ['-m', 'sh', '-c', script, 'sh', folder, process.execPath, ...launch(folder, 'well')]
  const run = () => spawnSync('unshare', args, { env, encoding: 'utf8' })
  t.match(run(), { status: 0, stdout: 'ran well\n', stderr: '' })
  writeFileSync(join(folder, 'node_modules/.package-lock.json'), '{}')
  const { status, stderr } = run()
  t.equal(status, 1)
  t.match(stderr, /or the file system is read-only/)
  t.end()
})
