#!/usr/bin/env node
// @ts-check
/**
 * The `busbar` command. In a clone it sets up what is missing and runs actors/main.ts, on Node 20
 * or newer (bootstrap.mjs). In an installed package it runs the compiled dist/actors/main.js in
 * this very process: signals, exit code and process id are the command's own.
 */
import { existsSync } from 'node:fs'

/**
 * The first Node that the compiled package is tested on; `engines` in package.json says the same.
 */
const nodeMin = /** @type {const} */ ([22, 12])

const root = new URL('../../../', import.meta.url)
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (existsSync(new URL('actors/main.ts', root))) {
  const { launch } = await import('./bootstrap.mjs')
  await launch('actors/main.ts', process.argv.slice(2), { needsNats: false, needsDev: false })
} else if (major < nodeMin[0] || (major === nodeMin[0] && minor < nodeMin[1])) {
  process.stderr.write(
    `busbar: Node ${nodeMin.join('.')} or newer is needed; this is ${process.versions.node}. Install a newer Node and start again with it.\n`,
  )
  process.exitCode = 1
} else {
  await import(new URL('dist/actors/main.js', root).href)
}
