// @ts-check
/**
 * Runs several test files of tap one after the other in this process: `node run-together.mjs
 * FILE…`. Node, tap and most of what the files import start once instead of once a file. A comment
 * `file FILE` of TAP stands in front of the tests of each; run-tests.mjs reads it, and says which
 * files may share a process.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

// tap names the folders of its fixtures after the arguments, which would be too long for a name.
const files = process.argv.splice(2)
const { default: tap } = await import('tap')

/** @type {Promise<unknown>[]} */
const begun = []
const begin = tap.test.bind(tap)
/** @param {Parameters<typeof begin>} test */
const keep = (...test) => {
  const running = begin(...test)
  begun.push(running)
  return running
}
tap.test = /** @type {typeof tap.test} */ (keep)

for (const file of files) {
  tap.comment(`file ${file}`)
  await import(pathToFileURL(resolve(file)).href)
  // The next file must not start before: tests of two files would wait for each other.
  for (let next = begun.shift(); next !== undefined; next = begun.shift()) await next
}
