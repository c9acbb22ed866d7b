/**
 * Documentation that points somewhere points at something: relative links and their anchors in all
 * Markdown files, and paths of files and folders that stand in backticks.
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..')

const pages = ['*.md', '{core,actors,proto,bench,test}/**/*.md']
  .flatMap((pattern) => globSync(pattern, { cwd: root }))
  .filter((path) => !path.includes('node_modules'))
  .toSorted()
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))

/** Without fenced blocks, which show what people type. */
const proseOf = (text: string): string => text.replaceAll(/^```[^]*?^```/gm, '')

/** The anchor that GitHub gives a heading. */
const anchorOf = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

const anchorsIn = (text: string): string[] =>
  [...proseOf(text).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))

t.test('relative links lead to files, and their anchors to headings', async (t) => {
  t.ok(pages.length > 30, `${pages.length} pages`)
  const wrong = pages.flatMap(({ path, text }) =>
    [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link = '']) => link)
      .filter((link) => !/^[a-z]+:/.test(link))
      .filter((link) => {
        const [file = '', anchor] = link.split('#')
        const target = file === '' ? path : normalize(join(dirname(path), file))
        if (!existsSync(join(root, target))) return true
        if (anchor === undefined) return false
        return !anchorsIn(readFileSync(join(root, target), 'utf8')).includes(anchor)
      })
      .map((link) => `${path}: ${link}`),
  )
  t.same(wrong, [])
})

t.test('paths in backticks exist, from the root or from the folder of the page', async (t) => {
  // What has no ending is a path when it begins with a folder of ours.
  const isPath = (word: string): boolean =>
    /^[\w@.-]+(\/[\w@.-]+)+\.(ts|mjs|md|json|proto|yaml|yml)$/.test(word) ||
    /^(core|actors|proto|bench|test)(\/[\w.-]+)+\/?$/.test(word)
  // The changelog has paths as they were; these are made by programs, or stand for any name.
  const isElsewhere = (word: string): boolean =>
    /^(dist|\.busbar)\/|\bNAME\.|^actors\/opening$/.test(word)
  const wrong = pages
    .filter(({ path }) => path !== 'CHANGELOG.md')
    .flatMap(({ path, text }) =>
      [...proseOf(text).matchAll(/`([^`\n]+)`/g)]
        .map(([, word = '']) => word)
        .filter((word) => isPath(word) && !isElsewhere(word))
        .filter(
          (word) =>
            ![root, join(root, dirname(path))].some((folder) => existsSync(join(folder, word))),
        )
        .map((word) => `${path}: ${word}`),
    )
  t.same(wrong, [])
})

t.test('every page of the documentation is in its index', async (t) => {
  const index = readFileSync(join(root, 'core/docs/README.md'), 'utf8')
  const missing = pages
    .map(({ path }) => path)
    .filter((path) => path.startsWith('core/docs/') && path !== 'core/docs/README.md')
    .filter((path) => !index.includes(`](${path.slice('core/docs/'.length)})`))
  t.same(missing, [])
  const decisions = readFileSync(join(root, 'core/decisions/README.md'), 'utf8')
  const unlisted = globSync('core/decisions/0*.md', { cwd: root })
    .map((path) => path.slice('core/decisions/'.length))
    .filter((name) => !decisions.includes(`](${name})`))
  t.same(unlisted, [], 'a row in core/decisions/README.md for each decision')
})

t.test('the README stays a page', async (t) => {
  const { text } = pages.find(({ path }) => path === 'README.md')!
  t.ok(text.split('\n').length <= 80, 'what is longer belongs in core/docs')
})
