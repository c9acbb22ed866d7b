// @ts-check
/**
 * Compiles what an installation needs: `npm run build` and `npm pack` make dist/ of the package
 * `busbar`; `npm run pack-dlms` makes the tarball of `busbar-dlms`, the DLMS/COSEM library alone,
 * from the same sources (decision 0016). It installs nothing and publishes nothing.
 *
 *   core actors proto   ── tsc ──→  dist/: JavaScript and declarations
 *                       ── copy ─→  dist/: what code opens by its place (JSON, samples, descriptors)
 *   core/dlms and what it imports ──→ .busbar/busbar-dlms/ ── npm pack ──→ busbar-dlms-VERSION.tgz
 *
 *   --out FOLDER   instead of dist/, or instead of .busbar/busbar-dlms
 *   --dlms         the folder of busbar-dlms, not packed      --pack-dlms   packed
 */
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')

/**
 * Files that code opens by their place, and the contract with parties; not configuration of tools.
 */
const assets = [
  'core/**/*.json',
  'actors/**/*.{json,jsonl,html,css}',
  'proto/gen/**/*.{binpb,json}',
  'proto/busbar/**/*.proto',
]
const isOfTools = (/** @type {string} */ path) =>
  /(^|\/)tsconfig[^/]*\.json$|^core\/ops\/(pinned-node|deploy)\//.test(path)

/** @param {readonly string[]} args @param {string} [folder] */
function run(args, folder = root) {
  const { status, error } = spawnSync(process.execPath, args, {
    cwd: folder,
    stdio: ['ignore', 2, 2],
  })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

/** @param {string} project @param {string} out */
function compile(project, out) {
  rmSync(out, { recursive: true, force: true })
  run([join(root, 'node_modules/typescript/bin/tsc'), '-p', project, '--outDir', out])
  // The compiler leaves `.ts` in the imports of declarations; not every compiler of users takes
  // that.
  for (const path of globSync('**/*.d.ts', { cwd: out })) {
    const file = join(out, path)
    const text = readFileSync(file, 'utf8')
    const mended = text.replaceAll(
      /((?:from|import) ?\(?['"]\.{1,2}\/[^'"\n]+)\.ts(?=['"])/g,
      '$1.js',
    )
    if (mended !== text) writeFileSync(file, mended)
  }
}

/**
 * Removes declarations that no door of the package leads to: those of the broker's inside.
 * @param {string} out @param {readonly string[]} doors files in `out`
 */
function pruneDeclarations(out, doors) {
  const kept = new Set(doors)
  // A set that grows while it is gone through: what is added comes later.
  for (const path of kept) {
    const text = readFileSync(join(out, path), 'utf8')
    for (const [, place = ''] of text.matchAll(
      /(?:from|import) ?\(?['"](\.{1,2}\/[^'"\n]+)['"]/g,
    )) {
      const target = join(dirname(path), place)
      kept.add(target.replace(/\.(m?)js$/, '.d.$1ts'))
    }
  }
  for (const path of globSync('**/*.d.{ts,mts}', { cwd: out }))
    if (!kept.has(path)) rmSync(join(out, path))
}

/** @param {string} out */
function buildBusbar(out) {
  compile('core/ops/tsconfig.package.json', out)
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const doors = Object.values(exports)
    .map((door) => door.types)
    .filter((path) => path !== undefined)
  pruneDeclarations(
    out,
    doors.map((path) => relative('dist', path)),
  )
  for (const path of assets.flatMap((pattern) => globSync(pattern, { cwd: root }))) {
    if (isOfTools(path)) continue
    mkdirSync(dirname(join(out, path)), { recursive: true })
    copyFileSync(join(root, path), join(out, path))
  }
}

/** @param {string} out */
function buildDlms(out) {
  compile('core/dlms', join(out, 'dist'))
  const { version, license, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const doors = Object.entries(exports)
    .filter(([name]) => /^\.\/dlms(\/|$)/.test(name))
    .map(([name, places]) => [
      name.replace('./dlms', '.'),
      JSON.parse(JSON.stringify(places).replaceAll('./dist/core/', './dist/')),
    ])
  const manifest = {
    name: 'busbar-dlms',
    version,
    private: true,
    description: 'DLMS/COSEM for both roles, sans-io: the library of Busbar without its broker',
    license,
    type: 'module',
    files: ['dist'],
    exports: { ...Object.fromEntries(doors), './package.json': './package.json' },
    engines: { node: '>=20' },
  }
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  const readme = readFileSync(join(root, 'core/dlms/README.md'), 'utf8')
  writeFileSync(join(out, 'README.md'), readme.replaceAll('busbar/dlms', 'busbar-dlms'))
  cpSync(join(root, 'LICENSE'), join(out, 'LICENSE'))
}

/**
 * @param {string} folder the tarball comes to the project's root, and its name to stdout, as from
 * `npm pack`
 */
function pack(folder) {
  const args = ['pack', folder, '--pack-destination', root, '--loglevel=error']
  const { status, error } = spawnSync('npm', args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 2],
    shell: process.platform === 'win32',
  })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

const words = process.argv.slice(2)
const out = words.includes('--out') ? resolve(words[words.indexOf('--out') + 1] ?? '') : undefined
if (words.includes('--dlms') || words.includes('--pack-dlms')) {
  const folder = out ?? join(root, '.busbar/busbar-dlms')
  buildDlms(folder)
  if (words.includes('--pack-dlms')) pack(folder)
} else {
  buildBusbar(out ?? join(root, 'dist'))
}
