/** Child processes get what they need of the environment, and no secret of it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import {
  environmentOfNode,
  environmentOfServer,
  environmentOfTool,
} from '../../../../core/ops/setup/child-environment.mjs'

const root = join(fileURLToPath(import.meta.url), '../../../../..')

t.test('what each kind of program gets', (t) => {
  const env = {
    PATH: '/bin',
    HOME: '/a',
    LC_ALL: 'C',
    GOMEMLIMIT: '1GiB',
    GOPROXY: 'direct',
    NODE_OPTIONS: '--trace-gc',
    NODE_COMPILE_CACHE: '/c',
    https_proxy: 'http://proxy:3128',
    HTTP_PROXY: 'http://proxy:3128',
    BUSBAR_KEY_ENCRYPTION_KEY: 'secret',
    BUSBAR_NATS_URL: 'nats://a:secret@b',
    NATS_PASSWORD: 'secret',
    CLOUD_SECRET: 'secret',
    EMPTY: undefined,
  }
  const any = { PATH: '/bin', HOME: '/a', LC_ALL: 'C' }
  t.strictSame(environmentOfServer(env), { ...any, GOMEMLIMIT: '1GiB' })
  t.strictSame(environmentOfNode(env), {
    ...any,
    GOMEMLIMIT: '1GiB',
    NODE_OPTIONS: '--trace-gc',
    NODE_COMPILE_CACHE: '/c',
  })
  t.strictSame(environmentOfTool(env), {
    ...any,
    GOMEMLIMIT: '1GiB',
    GOPROXY: 'direct',
    NODE_OPTIONS: '--trace-gc',
    NODE_COMPILE_CACHE: '/c',
    https_proxy: 'http://proxy:3128',
    HTTP_PROXY: 'http://proxy:3128',
  })
  t.end()
})

t.test('every child process of the product is given an environment', (t) => {
  const files = ['core', 'actors']
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((path) =>
        join(folder, path),
      ),
    )
    .filter((path) => /\.(ts|mjs)$/.test(path))
  // Tools of developers, which run with the environment of the developer.
  const tools = new Set([
    'core/ops/setup/build.mjs',
    'core/ops/setup/check.mjs',
    'core/ops/setup/run-tests.mjs',
  ])
  const wrong: string[] = []
  for (const path of files) {
    if (tools.has(path)) continue
    const text = readFileSync(join(root, path), 'utf8')
    if (!text.includes("'node:child_process'")) continue
    for (const { index } of text.matchAll(/\b(?:spawn|spawnSync|fork|execFile|execFileSync)\(/g)) {
      const call = text.slice(index, index + 700)
      if (!/\benv\b/.test(call)) wrong.push(`${path}: ${call.split('\n')[0]}`)
    }
  }
  t.strictSame(wrong, [])
  t.end()
})
