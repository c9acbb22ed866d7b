/**
 * What stands in a data directory is its owner's alone, whatever umask the broker has and whichever
 * user made the folder.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import t from 'tap'
import { startBroker } from '../../actors/library/index.ts'
import { demoPartiesJson } from '../../core/access/parties.ts'
import { makeDataDir } from '../../core/ops/data-dir.ts'

const folder = mkdtempSync(join(tmpdir(), 'busbar-modes-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

/** What others than the owner may use: path and mode. */
function openIn(root: string): string[] {
  const paths = [
    root,
    ...readdirSync(root, { recursive: true, encoding: 'utf8' }).map((name) => join(root, name)),
  ]
  return paths.flatMap((path) => {
    const stat = lstatSync(path)
    const isOpen = !stat.isSymbolicLink() && (stat.mode & 0o077) !== 0
    return isOpen ? [`${relative(root, path) || '.'} ${(stat.mode & 0o777).toString(8)}`] : []
  })
}

for (const umask of [0o000, 0o022, 0o077])
  t.test(`a broker with umask ${umask.toString(8)}`, async (t) => {
    const dataDir = join(folder, `umask-${umask}`)
    const before = process.umask(umask)
    t.teardown(() => process.umask(before))
    const any = '127.0.0.1:0'
    const broker = await startBroker({
      dataDir,
      grpc: any,
      http: any,
      ops: any,
      ledgerBytes: '64MiB',
      partitions: 2,
      parties: demoPartiesJson,
      logLevel: 'silent',
    })
    t.teardown(() => broker.stop())
    await broker.ready
    t.strictSame(openIn(dataDir), [])
    t.ok(readdirSync(dataDir).length > 5)
    t.equal(process.umask(), umask, 'the umask of a program that embeds a broker stays')
  })

t.test('a folder that was there is tightened, with all that is in it', (t) => {
  const dataDir = join(folder, 'wide')
  mkdirSync(join(dataDir, 'nats/jetstream'), { recursive: true })
  writeFileSync(join(dataDir, 'nats/jetstream/1.blk'), '')
  writeFileSync(join(folder, 'elsewhere'), '')
  chmodSync(join(folder, 'elsewhere'), 0o644)
  symlinkSync(join(folder, 'elsewhere'), join(dataDir, 'link'))
  for (const path of ['.', 'nats', 'nats/jetstream', 'nats/jetstream/1.blk'])
    chmodSync(join(dataDir, path), 0o777)
  makeDataDir(dataDir)
  t.strictSame(openIn(dataDir), [])
  t.equal(lstatSync(dataDir).mode & 0o777, 0o700)
  t.equal(
    lstatSync(join(folder, 'elsewhere')).mode & 0o777,
    0o644,
    'what a link names is left alone',
  )
  t.end()
})

const isRoot = process.getuid?.() === 0
t.test(
  'a folder of another user',
  { skip: !isRoot && 'only root can become another user' },
  (t) => {
    chmodSync(folder, 0o755)
    const dataDir = join(folder, 'of-root')
    mkdirSync(dataDir)
    const nobody = 65_534
    const module = new URL('../../core/ops/data-dir.ts', import.meta.url).href
    const code = `import(${JSON.stringify(module)}).then((it) => it.makeDataDir(process.argv[1])).catch((e) => { console.log(e.message); process.exit(3) })`
    const run = (path: string) =>
      spawnSync(process.execPath, ['-e', code, path], {
        uid: nobody,
        gid: nobody,
        encoding: 'utf8',
        env: { PATH: process.env['PATH'] },
      })
    if (run(folder).status === null) return void t.end()
    chmodSync(dataDir, 0o777)
    t.match(run(dataDir), { status: 3, stdout: /belongs to user 0.*mode 777.*folder within it/ })
    const within = join(dataDir, 'own')
    t.match(run(within), { status: 0 })
    t.equal(lstatSync(within).mode & 0o777, 0o700)
    // Given over to the user, it is tightened.
    chownSync(dataDir, nobody, nobody)
    t.match(run(dataDir), { status: 0 })
    t.equal(lstatSync(dataDir).mode & 0o777, 0o700)
    t.end()
  },
)
