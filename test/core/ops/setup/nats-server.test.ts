/**
 * Finding a nats-server: the order, versions that are too old, and apt's source lists in both
 * formats. Nothing is fetched: obtaining one was proved by hand on Debian, and every fresh machine
 * proves it again by running `npm test`.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import {
  archivesOf,
  parseDeb822Sources,
  parseOneLineSources,
} from '../../../../core/ops/setup/apt-sources.mjs'
import {
  cacheFolder,
  ensureNatsServer,
  findNatsServer,
  isVersionAtLeast,
} from '../../../../core/ops/setup/nats-server.mjs'

const folder = mkdtempSync(join(tmpdir(), 'busbar-find-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

/** A program that says it is a nats-server of `version`. */
function fakeServer(path: string, version: string): string {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `#!/bin/sh\necho "nats-server: v${version}"\n`)
  chmodSync(path, 0o755)
  return path
}

const write = (path: string, text: string): string => {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  return path
}

t.test('versions', async (t) => {
  for (const [a, b, isAtLeast] of [
    ['2.15.1', '2.15.1', true],
    ['2.15.0', '2.15.1', false],
    ['2.9.30', '2.15.1', false],
    ['2.16.0', '2.15.1', true],
    ['10.0.0', '2.15.1', true],
    ['2.15.1-RC.1', '2.15.1', false],
    ['2.15.2-RC.1', '2.15.1', true],
    ['2.15.1', '2.15.1-RC.1', true],
  ] as const) {
    t.equal(isVersionAtLeast(a, b), isAtLeast, `${a} ≥ ${b}`)
  }
})

t.test('NATS_SERVER_BIN, then the PATH, then the cache', async (t) => {
  const cache = join(folder, 'cache')
  const named = fakeServer(join(folder, 'named'), '2.15.1')
  const onPath = fakeServer(join(folder, 'path/nats-server'), '2.16.0')
  const old = fakeServer(join(folder, 'old/nats-server'), '2.10.1')
  const env = { XDG_CACHE_HOME: cache, PATH: dirname(old) }
  t.equal(cacheFolder(env), join(cache, 'busbar'))
  t.equal(cacheFolder({ HOME: '/h' }), '/h/.cache/busbar')

  t.same(findNatsServer(env), { tooOld: { path: old, version: '2.10.1' } })
  const kept = fakeServer(join(cache, 'busbar/nats-server-2.15.1/nats-server'), '2.15.1')
  fakeServer(join(cache, 'busbar/nats-server-2.9.0/nats-server'), '2.9.0')
  fakeServer(join(cache, 'busbar/.keep-x/nats-server'), '2.99.0')
  t.same(findNatsServer(env), { found: { path: kept, version: '2.15.1' } })
  const newer = fakeServer(join(cache, 'busbar/nats-server-2.17.0/nats-server'), '2.17.0')
  t.same(
    findNatsServer(env),
    { found: { path: newer, version: '2.17.0' } },
    'the newest of the cache',
  )
  const path = `${dirname(old)}:${dirname(onPath)}`
  t.same(
    findNatsServer({ ...env, PATH: path }),
    { found: { path: onPath, version: '2.16.0' } },
    'one too old hides none',
  )
  t.same(findNatsServer({ ...env, PATH: path, NATS_SERVER_BIN: named }), {
    found: { path: named, version: '2.15.1' },
  })
  t.same(await ensureNatsServer({ env, progress: t.fail }), { path: newer, version: '2.17.0' })
  t.equal(
    await ensureNatsServer({ env: { ...env, BUSBAR_NATS_URL: 'nats://x' }, progress: t.fail }),
    undefined,
  )
})

t.test('a named server that cannot be used is not replaced by another', async (t) => {
  const old = fakeServer(join(folder, 'named-old'), '2.15.0')
  const other = write(join(folder, 'other'), '#!/bin/sh\necho hello\n')
  chmodSync(other, 0o755)
  t.throws(() => findNatsServer({ NATS_SERVER_BIN: old }), {
    code: 'NATS_SERVER_TOO_OLD',
    message: /is 2\.15\.0; 2\.15\.1 or newer.*Unset it/,
  })
  for (const path of [other, folder, join(folder, 'nothing')]) {
    t.throws(() => findNatsServer({ NATS_SERVER_BIN: path }), {
      code: 'NATS_SERVER_MISSING',
      message: /BUSBAR_NATS_URL/,
    })
  }
})

t.test('a cache folder that cannot be made is a fault that names the variables', async (t) => {
  const file = write(join(folder, 'in-the-way'), '')
  for (const env of [
    { PATH: '', HOME: file },
    { PATH: '', XDG_CACHE_HOME: join(file, 'cache') },
  ]) {
    await t.rejects(ensureNatsServer({ env, progress: t.fail }), {
      code: 'NATS_SERVER_MISSING',
      message: /cache folder .*in-the-way.*ENOTDIR.*XDG_CACHE_HOME or HOME.*NATS_SERVER_BIN/s,
    })
  }
})

const key = `-----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGA
 -----END PGP PUBLIC KEY BLOCK-----`

t.test('apt sources, both formats', async (t) => {
  t.same(
    parseOneLineSources(`# deb http://no.example x main
deb http://deb.example/debian bookworm main contrib # why
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian/ bookworm-updates main
deb-src http://deb.example/debian bookworm main
nonsense
`),
    [
      {
        types: ['deb'],
        addresses: ['http://deb.example/debian'],
        suites: ['bookworm'],
        components: ['main', 'contrib'],
      },
      {
        types: ['deb'],
        addresses: ['http://mirror.example/debian/'],
        suites: ['bookworm-updates'],
        components: ['main'],
        signedBy: '/k.gpg',
      },
      {
        types: ['deb-src'],
        addresses: ['http://deb.example/debian'],
        suites: ['bookworm'],
        components: ['main'],
      },
    ],
  )
  t.same(
    parseDeb822Sources(`# a comment
Types: deb deb-src
# one in the middle
URIs: http://a.example/debian
 http://b.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /k.gpg

Enabled: no
Types: deb
URIs: http://off.example
Suites: x
Components: main

Types: deb
URIs: http://c.example
Suites: x
Components: main
Signed-By:
 ${key}
`),
    [
      {
        types: ['deb', 'deb-src'],
        addresses: ['http://a.example/debian', 'http://b.example/debian'],
        suites: ['trixie', 'trixie-updates'],
        components: ['main'],
        signedBy: '/k.gpg',
      },
      {
        types: ['deb'],
        addresses: ['http://c.example'],
        suites: ['x'],
        components: ['main'],
        keyText:
          '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBGA\n-----END PGP PUBLIC KEY BLOCK-----\n',
      },
    ],
  )
})

t.test('the archives to try', async (t) => {
  const debian = write(join(folder, 'debian/os-release'), 'ID=debian\nVERSION_CODENAME=bookworm\n')
  const etc = join(folder, 'debian/apt')
  write(
    join(etc, 'sources.list.d/debian.sources'),
    'Types: deb\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://m.example/debian-security\nSuites: bookworm-security\nComponents: main\n',
  )
  write(
    join(etc, 'sources.list.d/other.list'),
    'deb http://third.example stable main-of-theirs\ndeb http://fourth.example nodistro main\n',
  )
  write(join(etc, 'sources.list.d/off.list.disabled'), 'deb http://off.example bookworm main\n')
  t.same(archivesOf({ etc, osRelease: debian }), [
    { address: 'http://m.example/debian', suite: 'forky', components: 'main', signedBy: '/k.gpg' },
    { address: 'http://m.example/debian', suite: 'sid', components: 'main', signedBy: '/k.gpg' },
  ])
  const ubuntu = write(
    join(folder, 'ubuntu/os-release'),
    'ID=pop\nID_LIKE="ubuntu debian"\nUBUNTU_CODENAME=noble\n',
  )
  write(
    join(folder, 'ubuntu/apt/sources.list'),
    'deb http://u.example/ubuntu noble main universe\n',
  )
  t.match(archivesOf({ etc: join(folder, 'ubuntu/apt'), osRelease: ubuntu }), [
    { address: 'http://u.example/ubuntu', suite: 'devel', components: 'main universe' },
  ])
  const fedora = write(join(folder, 'fedora/os-release'), 'ID=fedora\n')
  t.same(archivesOf({ etc, osRelease: fedora }), [])
  t.same(archivesOf({ etc: join(folder, 'none'), osRelease: join(folder, 'none') }), [])
})
