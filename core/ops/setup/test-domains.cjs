// @ts-check
/** Preloaded by every process of run-tests.mjs: tap gets test-domains.mjs. */
const { registerHooks } = require('node:module')
const { join } = require('node:path')
const { pathToFileURL } = require('node:url')

const url = pathToFileURL(join(__dirname, 'test-domains.mjs')).href
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'async-hook-domain'
      ? { url, format: 'module', shortCircuit: true }
      : next(specifier, context),
})
