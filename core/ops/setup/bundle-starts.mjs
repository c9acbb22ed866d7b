// @ts-check
/**
 * Bundles the programs that tests start, for a whole run of run-tests.mjs. A process of Busbar
 * loads some 1,500 modules, which takes longer than the work of most of those processes.
 *
 *   actors/main.ts, fixtures ── esbuild ──→ .busbar/compiled/starts/actors/main.mjs, …
 *   node actors/main.ts      ── bundled-start.cjs in NODE_OPTIONS ──→ runs the bundle instead
 *
 * Code behaves as it does in its own file: `import.meta.url` and `__dirname` are those of the
 * source. A test file that runs alone starts the source; test/package.test.ts starts dist/.
 */
import { build, stop } from 'esbuild'
import { globSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')

/** The command, with the modules that several of its subcommands load in files of their own. */
const command = 'actors/main.ts'
/** Programs of tests that load most of the product: each becomes one file. */
const programs = ['test/**/fixtures-*.ts', 'test/support/trial-host.ts']
/** They load machine code by their own place. */
const native = ['lmdb', 'msgpackr', 'msgpackr-extract']

/** What a module says of its own place, as text of its bundle. @param {string} path */
function placesOf(path) {
  const [url, file, folder] = [pathToFileURL(path).href, path, dirname(path)].map((each) =>
    JSON.stringify(each),
  )
  return {
    'import.meta.url': url,
    'import.meta.filename': file,
    'import.meta.dirname': folder,
    'import.meta.main': 'false',
    __filename: file,
    __dirname: folder,
  }
}

const keepPlaces = {
  name: 'keep-places',
  /** @param {import('esbuild').PluginBuild} build */
  setup({ onLoad }) {
    onLoad({ filter: /\.([cm]?js|ts)$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8')
      const isOfPackage = path.includes('node_modules')
      const pattern = isOfPackage
        ? /\b__(?:dirname|filename)\b|\bimport\.meta\.url\b/g
        : /\bimport\.meta\.(?:url|filename|dirname|main)\b/g
      if (text.search(pattern) < 0) return undefined
      const places = placesOf(path)
      const contents = text.replace(
        pattern,
        (name) => places[/** @type {keyof typeof places} */ (name)] ?? name,
      )
      return { contents, loader: path.endsWith('ts') ? 'ts' : 'js' }
    })
  },
}

/** @param {readonly string[]} entries @param {string} folder @param {boolean} isSplit */
const bundle = (entries, folder, isSplit) =>
  build({
    absWorkingDir: root,
    entryPoints: [...entries],
    outdir: folder,
    outbase: root,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: isSplit,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    external: native,
    plugins: [keepPlaces],
    // Packages in CommonJS `require` modules of Node.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  })

/** Writes the bundles into `folder`, two levels below `.busbar/`. @param {string} folder */
export async function bundleStarts(folder) {
  const files = programs.flatMap((pattern) => globSync(pattern, { cwd: root }))
  await Promise.all([bundle([command], folder, true), bundle(files, folder, false)])
  await stop()
}
