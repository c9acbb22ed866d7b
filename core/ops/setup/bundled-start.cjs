// @ts-check
/**
 * Preloaded by the processes of a whole test run (bundle-starts.mjs): when Node is about to run a
 * program that has a bundle, it runs the bundle instead. Nothing else changes.
 */
const { existsSync } = require('node:fs')
const { registerHooks } = require('node:module')
const { join, relative } = require('node:path')
const { pathToFileURL } = require('node:url')

const root = join(__dirname, '../../..')
const program = process.argv[1] ?? ''
const place = relative(root, program).replace(/\.ts$/, '.mjs')
const bundle = join(root, '.busbar/compiled/starts', place)

if (program.endsWith('.ts') && !place.startsWith('..') && existsSync(bundle)) {
  const source = pathToFileURL(program).href
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier !== source || context.parentURL !== undefined) return next(specifier, context)
      hooks.deregister()
      return { url: pathToFileURL(bundle).href, format: 'module', shortCircuit: true }
    },
  })
}
