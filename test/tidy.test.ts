/**
 * The rules of the house that no other tool checks, each with what to do instead: who may import
 * whom (DESIGN.md section 6), names, sizes, and what must not stand in a file. Reads files only;
 * lint and types are `npm run check`'s.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, extname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { settings } from '../core/ops/settings.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const skippedFolders = new Set(['node_modules', '.git', '.tap', '.busbar', 'coverage', 'dist'])

type SourceFile = { readonly path: string; readonly text: string }

/** Paths from the root. Skipped folders are not entered: other tests build in them meanwhile. */
function pathsIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return skippedFolders.has(entry.name) ? [] : pathsIn(path)
    return entry.isFile() ? [relative(root, path)] : []
  })
}

const files: SourceFile[] = pathsIn(root)
  .filter((path) =>
    /\.(ts|mjs|js|json|proto|md|yaml|yml|sh|toml)$|^\.ci\/|^\.[a-z]+rc$|^LICENSE$/.test(path),
  )
  .toSorted()
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
const isGenerated = (path: string): boolean => path.startsWith('proto/gen/')
const sources = files.filter(({ path }) => /\.(ts|mjs)$/.test(path) && !isGenerated(path))
const self = 'test/tidy.test.ts'

/**
 * The files are read once and asked many things; this one names what it looks for, so some rules
 * leave it out.
 */
function offenders(
  among: readonly SourceFile[],
  isWrong: (file: SourceFile) => string | false,
): string[] {
  return among.flatMap((file) => {
    const what = isWrong(file)
    return what === false ? [] : [`${file.path}: ${what}`]
  })
}

/** `name: first line it matches on` or false. */
function lineThat(text: string, pattern: RegExp): string | false {
  const index = text.split('\n').findIndex((line) => pattern.test(line))
  return index < 0 ? false : `line ${index + 1}`
}

/** What a file imports or re-exports: paths from the root, or names of packages. */
function importsOf({ path, text }: SourceFile): string[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '')
  const found = code.matchAll(/(?:^|[;}\s])(?:from|import)\s*\(?\s*['"]([^'"\n]+)['"]/g)
  return [...found].map(([, name = '']) =>
    name.startsWith('.') ? normalize(join(dirname(path), name)) : name,
  )
}

const codecs = [
  'core/envelope',
  'core/dlms',
  'core/catalogue',
  'core/inventory',
  'core/access',
  'core/registration',
  'core/schedule',
  'core/pki',
]
const edges = ['core/bus', 'core/ledger', 'core/store', 'core/wan', 'core/gateway', 'core/ops']
const actorKinds = [
  'actors/device',
  'actors/meter-point',
  'actors/threshold',
  'actors/quarantine-page',
  'actors/party',
  'actors/source',
  'actors/schedule',
]
const aboveKinds = [
  'actors/device-effects',
  'actors/runtime',
  'actors/views',
  'actors/replicas',
  'actors/simulator',
]
const composition = [
  'actors',
  'actors/broker',
  'actors/cli',
  'actors/demo',
  'actors/library',
  'actors/load',
]
const belowCodecs = ['core/base', 'core/ports', 'core/crypto', 'core/cluster']
const belowTranslate = [...belowCodecs, ...codecs]
const belowEdges = [
  ...belowTranslate,
  'core/translate',
  'core/stream',
  'core/http',
  'core/nats',
  'proto/gen',
]

/** Folder → folders it may import besides itself. What is not listed may import nothing of ours. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'core/base': [],
  'core/ports': ['core/base'],
  'core/crypto': ['core/base', 'core/ports'],
  'core/cluster': ['core/base', 'core/ports'],
  ...Object.fromEntries(codecs.map((folder) => [folder, belowTranslate])),
  'core/translate': [...belowTranslate, 'proto/gen'],
  'core/stream': ['core/base', 'core/ports'],
  // What the HTTP doors of parties and of operators share.
  'core/http': ['core/base', 'core/ports'],
  // The connection that ledger and bus share.
  'core/nats': ['core/base', 'core/ports'],
  ...Object.fromEntries(edges.map((folder) => [folder, belowEdges])),
  // Pages of the documentation that are data of these folders.
  'core/docs': [
    'core/base',
    'core/access',
    'core/catalogue',
    'core/inventory',
    'core/http',
    'core/ops',
  ],
  // As any party would write it: it knows the contract, and the canonical form of what it signs.
  'core/client': [
    'core/base',
    'core/ports',
    'core/access',
    'core/crypto',
    'core/translate',
    'proto/gen',
  ],
  'actors/kind': belowTranslate,
  ...Object.fromEntries(
    actorKinds.map((folder) => [folder, [...belowTranslate, 'core/translate', 'actors/kind']]),
  ),
  // What actors want done to the world; ports are handed in.
  'actors/device-effects': [...belowTranslate, 'core/translate', 'actors/kind', 'actors/device'],
  // Above both the edges and the kinds of actor; it reaches the edges through ports where it can.
  'actors/runtime': [
    ...belowEdges,
    ...edges,
    'actors/kind',
    ...actorKinds,
    'actors/device-effects',
  ],
  'actors/simulator': belowTranslate,
  // Folds what the runtime writes: its chains and its snapshots.
  'actors/views': [...belowEdges, ...actorKinds, 'actors/runtime'],
  // Checks the same chains on every server's copy of the ledger; reaches the edges through ports.
  'actors/replicas': ['core/base', 'core/ports', 'core/cluster', 'core/envelope', 'actors/runtime'],
  // The composition root and what people run put everything together.
  ...Object.fromEntries(
    composition.map((folder) => [
      folder,
      [
        ...belowEdges,
        ...edges,
        'core/client',
        'actors/kind',
        ...actorKinds,
        ...aboveKinds,
        ...composition,
      ],
    ]),
  ),
  proto: ['proto/gen'],
}

/**
 * `core/wan/sockets/socket-wan.ts` → `core/wan`; `core/ports/sim/wan.ts` → `core/ports`;
 * `actors/main.ts` → `actors`.
 */
function folderOf(path: string): string {
  const parts = path.split('/').slice(0, -1)
  return parts.slice(0, 2).join('/')
}

const pure = ['core/base', ...codecs, 'core/translate', ...actorKinds]

t.test('the files were found', async (t) => {
  t.ok(sources.length > 30, `${sources.length} source files`)
  t.ok(sources.some(({ path }) => path === 'core/base/error-table.ts'))
})

t.test('imports are read as they stand', async (t) => {
  const text = `import { a } from './a.ts'
// import { no } from './comment.ts'
import type { B } from '../b/b.ts'
export { c } from "../c.ts"
import
  d from 'node:fs'
const e = await import('../../proto/gen/e.ts')
`
  t.same(importsOf({ path: 'core/x/file.ts', text }), [
    'core/x/a.ts',
    'core/b/b.ts',
    'core/c.ts',
    'node:fs',
    'proto/gen/e.ts',
  ])
  t.equal(folderOf('core/ports/sim/wan.ts'), 'core/ports')
  t.equal(folderOf('actors/main.ts'), 'actors')
})

t.test(
  'imports point downwards only: put what both need below, or pass it in through a port',
  async (t) => {
    const wrong = sources
      .filter(({ path }) => /^(core|actors|proto)\//.test(path))
      .flatMap((file) => {
        const from = folderOf(file.path)
        const allowed = mayImport[from]
        return importsOf(file)
          .filter((to) => /^(core|actors|proto)\//.test(to) && folderOf(to) !== from)
          .filter(
            (to) =>
              !allowed?.some(
                (folder) =>
                  folder === folderOf(to) ||
                  (to.startsWith(`${folder}/`) && folder === 'proto/gen'),
              ),
          )
          .map((to) => `${file.path} imports ${to}`)
      })
    t.same(wrong, [])
  },
)

t.test('nobody imports test/ or bench/: what is worth sharing belongs in core/', async (t) => {
  const wrong = sources
    .filter(({ path }) => !/^(test|bench)\//.test(path))
    .flatMap((file) =>
      importsOf(file)
        .filter((to) => /^(test|bench)\//.test(to))
        .map((to) => `${file.path} imports ${to}`),
    )
  t.same(wrong, [])
})

t.test(
  'pure code imports no node:* and no RxJS: take bytes, time and chance as arguments, return effects',
  async (t) => {
    const wrong = sources
      .filter(({ path }) => pure.includes(folderOf(path)))
      .flatMap((file) => {
        // A hash is a function of its input; codecs may have it, actors get it done. Keys are for
        // core/crypto/crypto.ts alone.
        const isCodec = ![...actorKinds, 'core/base', 'core/dlms'].includes(folderOf(file.path))
        return importsOf(file)
          .filter(
            (to) =>
              /^rxjs(\/|$)/.test(to) ||
              (to.startsWith('node:') && !(isCodec && /^node:(crypto|buffer)$/.test(to))),
          )
          .map((to) => `${file.path} imports ${to}`)
      })
    t.same(wrong, [])
  },
)

t.test('relative imports name the file with its ending', async (t) => {
  const wrong = sources.flatMap((file) =>
    importsOf(file)
      .filter((to) => /^(core|actors|proto|test|bench)\//.test(to) && !/\.(ts|mjs|json)$/.test(to))
      .map((to) => `${file.path} imports ${to}: write the ending`),
  )
  t.same(wrong, [])
})

t.test('a source file has at most 500 lines, a test file 900: split it by noun', async (t) => {
  // Few larger test files rather than many small ones: each costs half a second to start.
  t.same(
    offenders(sources, ({ path, text }) => {
      const lines = text.trimEnd().split('\n').length
      return lines > (path.startsWith('test/') ? 900 : 500) && `${lines} lines`
    }),
    [],
  )
})

t.test(
  'a line of a comment has at most 100 columns; pictures and tables may be wider',
  async (t) => {
    const comment = /^\s*(\/\*\*?|\*|\/\/) ?(.*)$/
    const isPicture = (text: string): boolean => /^( {2}|[-*•|[@])|[─│┌┐└┘├┤▶◀▲▼]| {3}\S/.test(text)
    t.same(
      offenders(sources, ({ text }) => {
        const index = text.split('\n').findIndex((line) => {
          const [, , content] = comment.exec(line) ?? []
          return line.length > 100 && content !== undefined && !isPicture(content)
        })
        return index >= 0 && `line ${index + 1}`
      }),
      [],
      'wrap it',
    )
  },
)

t.test('the default of a setting stands in the table of settings alone', async (t) => {
  const { grpc, http, ops, dataDir } = settings
  const defaults = [grpc, http, ops, dataDir].map((setting) => `'${setting.default}'`)
  const isOther = (path: string): boolean => !/^(test|bench)\/|^core\/ops\/settings\.ts$/.test(path)
  t.same(
    offenders(
      sources.filter(({ path }) => isOther(path)),
      ({ text }) => defaults.find((one) => text.includes(one)) ?? false,
    ),
    [],
  )
})

t.test('a file is named for its noun, in kebab-case', async (t) => {
  const banned = /(^|-)(utils?|helpers?|common|misc|managers?|data|info|handle|stuff|lib)$/
  t.same(
    offenders(sources, ({ path }) => {
      const name = basename(path, extname(path)).replace(/\.(test|bench|d)$/, '')
      if (banned.test(name)) return `'${name}' says nothing: name it after what it holds`
      return !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name) && `'${name}' is not kebab-case`
    }),
    [],
  )
})

t.test('a source file opens with a comment that says what it is', async (t) => {
  t.same(
    offenders(
      sources,
      ({ text }) =>
        !/^(#!.*\n)?\s*(\/\/|\/\*)/.test(text) &&
        'write two lines on what it is and what it does not do',
    ),
    [],
  )
})

t.test('exports are named one by one', async (t) => {
  // A declaration file describes somebody else's exports.
  const code = sources.filter(({ path }) => path !== self && !path.endsWith('.d.ts'))
  t.same(
    offenders(code, ({ text }) => lineThat(text, /^\s*export\s+\*/)),
    [],
    'instead of export *, re-export by name',
  )
  t.same(
    offenders(code, ({ text }) => lineThat(text, /^\s*export\s+default\b/)),
    [],
    'instead of a default export, give it a name',
  )
})

t.test('nothing is left half done', async (t) => {
  const code = sources.filter(({ path }) => path !== self)
  t.same(
    offenders(code, ({ text }) => lineThat(text, /\bFIXME\b|\bXXX\b/)),
    [],
    'mend it, or file an issue and name it',
  )
  t.same(
    offenders(code, ({ text }) => lineThat(text, /\bTODO\b(?!.*(#\d+|decision \d+))/)),
    [],
    'name the issue or the decision',
  )
  t.same(
    offenders(code, ({ text }) => lineThat(text, /\bt\.only\(|\.only\(|\bdebugger\b/)),
    [],
    'let every test run',
  )
})

t.test('files name no machine and no package registry', async (t) => {
  const all = files.filter(({ path }) => path !== self && path !== 'package-lock.json')
  const machine =
    /(^|[\s'"`(=:])\/(home|root|Users|work|workspace|mnt)\/[A-Za-z0-9._-]+|[A-Z]:\\\\?Users/
  t.same(
    offenders(all, ({ text }) => lineThat(text, machine)),
    [],
    'use a path from the project root, or an option',
  )
  const registry =
    /registry\.(npmjs|yarnpkg|npmmirror)|npm\.pkg\.github|\bpypi\.org|\bproxy\.golang\.org|artifactory|\bnexus[.-]/i
  t.same(
    offenders(all, ({ text }) => lineThat(text, registry)),
    [],
    'npm knows its registry by itself',
  )
  const lock = files.find(({ path }) => path === 'package-lock.json')
  t.ok(lock, 'there is a lock file')
  t.notMatch(
    lock?.text ?? '',
    /"resolved":/,
    'the lock file names no download address: keep omit-lockfile-registry-resolved in .npmrc',
  )
})

t.test('dependencies are pinned exactly', async (t) => {
  const text = files.find(({ path }) => path === 'package.json')?.text ?? '{}'
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(text) as Record<
    string,
    Record<string, string>
  >
  for (const [name, version] of Object.entries({
    ...dependencies,
    ...devDependencies,
    ...optionalDependencies,
  })) {
    t.match(
      version,
      /^\d+\.\d+\.\d+(-[\w.]+)?$/,
      `${name} ${version}: write the version without ^ or ~`,
    )
  }
})

t.test('every error code is used, and produced by a test', async (t) => {
  const table = sources.find(({ path }) => path === 'core/base/error-table.ts')?.text ?? ''
  const codes = [...table.matchAll(/^ {2}([A-Z][A-Z_]+): row\(/gm)].map(([, code = '']) => code)
  t.ok(codes.length > 50, `${codes.length} codes`)
  const others = files
    .filter(
      ({ path }) => /^(core|actors|proto)\//.test(path) && path !== 'core/base/error-table.ts',
    )
    .map(({ text }) => text)
    .join('\n')
  t.same(
    codes.filter((code) => !new RegExp(`\\b${code}\\b`).test(others)),
    [],
    'take the row out, or return the code where it fits',
  )
  const tests = files
    .filter(({ path }) => path.startsWith('test/') && path !== 'test/tidy.test.ts')
    .map(({ text }) => text)
    .join('\n')
  t.same(
    codes.filter((code) => !new RegExp(`\\b${code}\\b`).test(tests)),
    [],
    'write the test that makes it happen',
  )
})
