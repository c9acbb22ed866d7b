/**
 * README.md, "Running a broker", line by line as a reader would type it, with real processes. Only
 * ports and the counter of a request are replaced: those of a reader are free, those of a test
 * machine may not be. The DLMS section is not run: it wants meters at addresses of the reader's.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { freePort } from './support/free-port.ts'
import { polled } from './support/polled.ts'

const root = new URL('..', import.meta.url)
const entry = fileURLToPath(new URL('actors/main.ts', root))
const doors = ['grpc', 'http', 'ops'] as const

/** The commands of a section, in order, without comments; `isLeft` for those that run on. */
function commandsOf(title: string): Array<{ words: string[]; isLeft: boolean }> {
  const text = readFileSync(new URL('README.md', root), 'utf8')
  const section = text.slice(text.indexOf(`\n## ${title}\n`) + 1)
  const end = section.indexOf('\n## ')
  const blocks = section.slice(0, end).matchAll(/```\n([^]*?)```/g)
  return [...blocks]
    .flatMap(([, block = '']) => block.split('\n'))
    .filter((line) => /^(npx busbar|export) /.test(line))
    .map((line) => line.replace(/\s+#.*$/, '').replace(/\s*&$/, ''))
    .map((line) => {
      const words = line.replace(/^npx busbar /, '').split(/\s+/)
      return { words, isLeft: words[0] === 'serve' || words[0] === 'meters' }
    })
}

t.test('every command of "Running a broker" works as it is written', async (t) => {
  const cwd = t.testdir({})
  const env: NodeJS.ProcessEnv = { ...process.env, BUSBAR_LOG_LEVEL: 'silent' }
  for (const door of doors) env[`BUSBAR_${door.toUpperCase()}`] = `127.0.0.1:${await freePort()}`
  env['BUSBAR_GATEWAY'] = env['BUSBAR_GRPC']
  const ports = new Map([
    ['127.0.0.1:9465', `127.0.0.1:${await freePort()}`],
    ['127.0.0.1:4059', `127.0.0.1:${await freePort()}`],
  ])
  let left: ChildProcess[] = []
  const endAll = async (): Promise<void> => {
    for (const child of left.toReversed()) {
      const ended = once(child, 'exit')
      if (child.exitCode === null && child.kill('SIGTERM')) await ended
    }
    left = []
  }
  t.teardown(endAll)
  let requestId = ''
  const commands = commandsOf('Running a broker')
  t.ok(commands.length > 20, `${commands.length} commands`)
  for (const { words, isLeft } of commands) {
    const line = words.join(' ')
    if (words[0] === 'export') {
      const [name = '', value = ''] = words[1]!.split('=')
      env[name] = value
      continue
    }
    const args = words.map((word) => ports.get(word) ?? (word.endsWith(':7') ? requestId : word))
    if (isLeft) {
      // The second broker of the section takes the place of the first.
      if (words.includes('--dial-in')) await endAll()
      const child = spawn(process.execPath, [entry, ...args], {
        cwd,
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      left.push(child)
      const [first] = await Promise.race([
        once(createInterface({ input: child.stdout }), 'line'),
        once(child, 'exit'),
      ])
      t.match(String(first), '"listening"', line)
      continue
    }
    const { status, stdout, stderr } = await polled(
      () => spawnSync(process.execPath, [entry, ...args], { cwd, env, encoding: 'utf8' }),
      // `keys status` says so while a broker that has just started counts.
      (said) => !/ask again/.test(said.stdout + said.stderr),
    )
    t.equal(status, 0, `${line}\n${stdout.slice(-300)}${stderr}`)
    const counter = / counter (\d+)/.exec(stdout)?.[1]
    if (words[0] === 'submit')
      requestId = `90-B3-D5-1F-30-01-00-00:00-DB-10-00-00-00-00-01:${counter}`
  }
})
