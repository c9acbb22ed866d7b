/**
 * The documentation, line by line as a reader would type it, with real processes: pages for
 * operators one after the other, the quick start for parties, and the commands for one meter. Only
 * ports and the counter of a request are replaced: those of a reader are free, those of a test
 * machine may not be. Not run: commands for devices at addresses of the reader's.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort } from './support/free-port.ts'
import { polled } from './support/polled.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const entry = join(root, 'actors/main.ts')

/** Pages for operators whose commands are run, in an order in which each finds what it needs. */
const operating = [
  'install',
  'parties',
  'operators',
  'registration',
  'consents',
  'certificates',
  'inventory',
  'keys',
  'backup',
  'views',
  'alerts',
  'upgrade',
]

/** The fenced blocks of a page; `language` as it stands behind the fence. */
function blocksOf(page: string, language = ''): string[] {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(/^```(\w*)\n([^]*?)^```/gm)]
    .filter(([, of]) => of === language)
    .map(([, , block = '']) => block)
}

type Command = { words: string[]; isLeft: boolean }

/** The commands of a page, in order, without comments; `isLeft` for those that run on. */
function commandsOf(page: string): Command[] {
  return blocksOf(page)
    .flatMap((block) => block.split('\n'))
    .filter((line) => /^(npx busbar|export) /.test(line))
    .map((line) => line.replace(/\s+#.*$/, '').replace(/\s*&$/, ''))
    .map((line) => {
      const words = line.replace(/^npx busbar /, '').split(/\s+/)
      return { words, isLeft: words[0] === 'serve' || words[0] === 'meters' }
    })
}

/** A reader's terminal: a folder, an environment, free ports, and what was left running. */
async function makeTerminal(t: Test): Promise<Terminal> {
  const cwd = t.testdir({})
  const env: NodeJS.ProcessEnv = { ...process.env, BUSBAR_LOG_LEVEL: 'silent' }
  const ports = new Map<string, string>()
  for (const [door, port] of [
    ['grpc', 50051],
    ['http', 8080],
    ['ops', 9464],
  ] as const) {
    const own = await freePort()
    env[`BUSBAR_${door.toUpperCase()}`] = `127.0.0.1:${own}`
    ports.set(String(port), String(own))
  }
  for (const port of [9465, 4059, 4060]) ports.set(String(port), String(await freePort()))
  env['BUSBAR_GATEWAY'] = env['BUSBAR_GRPC']
  const terminal = new Terminal(cwd, env, ports)
  t.teardown(() => terminal.endAll())
  return terminal
}

class Terminal {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  private readonly ports: ReadonlyMap<string, string>
  private left: ChildProcess[] = []

  constructor(cwd: string, env: NodeJS.ProcessEnv, ports: ReadonlyMap<string, string>) {
    this.cwd = cwd
    this.env = env
    this.ports = ports
  }

  /** `text` with ports that are free in place of those of the documentation. */
  portsIn(text: string): string {
    return text
      .replaceAll('.busbar/demo/pki', 'broker/data/pki')
      .replaceAll(/\b(50051|8080|946[45]|40(?:59|60))\b/g, (port) => this.ports.get(port)!)
  }

  async endAll(): Promise<void> {
    for (const child of this.left.toReversed()) {
      const ended = once(child, 'exit')
      if (child.exitCode === null && child.kill('SIGTERM')) await ended
    }
    this.left = []
  }

  /** Starts what runs on; settles when it says that it listens. */
  async leave(t: Test, words: readonly string[]): Promise<void> {
    const child = spawn(process.execPath, [entry, ...words], {
      cwd: this.cwd,
      env: this.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.left.push(child)
    const [first] = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line'),
      once(child, 'exit'),
    ])
    t.match(String(first), '"listening"', words.join(' '))
  }

  /** Runs to the end; gives what it printed. */
  async run(t: Test, words: readonly string[], statuses = [0]): Promise<string> {
    const { cwd, env } = this
    const { status, stdout, stderr } = await polled(
      () => spawnSync(process.execPath, [entry, ...words], { cwd, env, encoding: 'utf8' }),
      // `keys status` says so while a broker that has just started counts; views follow behind.
      ({ stdout: said, stderr: why, status: code }) =>
        !/ask again/.test(said + why) &&
        !(words[0] === 'inventory' && code !== 0 && /DEVICE_UNKNOWN/.test(why)),
    )
    t.ok(
      statuses.includes(status ?? -1),
      `${words.join(' ')}: ${status}\n${stdout.slice(-300)}${stderr.slice(-2_000)}`,
    )
    return stdout
  }
}

t.test('every page for operators with commands is among those that are run', async (t) => {
  const pages = globSync('core/docs/operating/*.md', { cwd: root })
    .map((path) => path.replace(/^.*[/\\]|\.md$/g, ''))
    .filter((page) => commandsOf(`core/docs/operating/${page}.md`).length > 0)
  t.same(
    pages.filter((page) => !operating.includes(page)),
    [],
    'add it to `operating` above, where its commands find what they need',
  )
})

t.test('every command of the pages for operators works as it is written', async (t) => {
  const terminal = await makeTerminal(t)
  const { env } = terminal
  let requestId = ''
  const commands = operating.flatMap((page) => commandsOf(`core/docs/operating/${page}.md`))
  t.ok(commands.length > 20, `${commands.length} commands`)
  for (const { words, isLeft } of commands) {
    if (words[0] === 'export') {
      const [name = '', value = ''] = words[1]!.split('=')
      env[name] = value
      continue
    }
    const args = words.map((word) => (word.endsWith(':7') ? requestId : terminal.portsIn(word)))
    if (isLeft) {
      // The broker of the page on alerts takes the place of the first.
      if (words.includes('--dial-in')) await terminal.endAll()
      await terminal.leave(t, args)
      continue
    }
    const stdout = await terminal.run(t, args)
    const counter = / counter (\d+)/.exec(stdout)?.[1]
    if (words[0] === 'submit')
      requestId = `90-B3-D5-1F-30-01-00-00:00-DB-10-00-00-00-00-01:${counter}`
  }
})

t.test('the quick start for parties works as it is written', async (t) => {
  const terminal = await makeTerminal(t)
  const { cwd, env } = terminal
  const page = 'core/docs/parties/quick-start.md'
  await terminal.run(t, ['init', 'broker'])
  await terminal.leave(t, ['serve', '--config', 'broker'])
  await terminal.leave(t, ['meters', '--meters', '500', '--devices', 'broker/devices.jsonl'])
  env['BUSBAR_CONFIG'] = 'broker'
  await terminal.run(t, ['devices', 'broker/devices.jsonl'])

  const curls = [page, 'README.md', 'core/docs/parties/http.md']
    .flatMap((path) => ['', 'sh'].flatMap((language) => blocksOf(path, language)))
    .filter((block) => block.startsWith('curl '))
  t.equal(curls.length, 3)
  const hasCurl = spawnSync('curl', ['--version']).status === 0
  for (const block of curls) {
    if (!hasCurl) {
      t.comment('not run: there is no curl')
      continue
    }
    const { status, stdout, stderr } = spawnSync('bash', ['-c', terminal.portsIn(block)], {
      cwd,
      env,
      encoding: 'utf8',
    })
    t.equal(status, 0, stderr)
    t.match(stdout, '"responseCode":"I99"')
    if (block.includes('/v1/deliveries')) t.match(stdout, '"deliveryId"')
  }

  const commands = commandsOf(page)
  t.ok(commands.length >= 5, `${commands.length} commands`)
  for (const { words } of commands) {
    if (words[0] === 'export') {
      const [name = '', value = ''] = words[1]!.split('=')
      env[name] = terminal.portsIn(value)
      continue
    }
    // Those that run until Ctrl-C end by themselves; loads are of a second.
    const ends = words[0] === 'receive' ? ['--idle', '1'] : []
    const isLoad = words[0] === 'load' && !words.includes('--seconds')
    const seconds = isLoad ? ['--seconds', '1'] : []
    const args = [...words, ...ends, ...seconds]
      .map((word) => (word === '.busbar/demo/devices.jsonl' ? 'broker/devices.jsonl' : word))
      .map((word) => (word === '30' ? '1' : word))
      .map((word) => terminal.portsIn(word))
    // autocannon cuts calls off at its end; those that were rejected then count as missing.
    await terminal.run(t, args, words.includes('--http') ? [0, 1] : [0])
  }

  const [source = ''] = blocksOf(page, 'ts')
  const client = join(cwd, 'client.ts')
  writeFileSync(client, terminal.portsIn(source).replaceAll("'./", `'${root}`))
  const child = spawn(process.execPath, [client], { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const said: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line)
    const text = said.join('\n')
    if (/responseCode: 'I99'/.test(text) && /^I0 \[/m.test(text)) break
  }
  t.match(said.join('\n'), /responseCode: 'I99'/, 'acknowledged')
  t.match(said.join('\n'), /^I0 \[/m, 'and answered')
})

t.test('the commands for one meter work as they are written', async (t) => {
  const terminal = await makeTerminal(t)
  const pages = ['cli', 'decode', 'simulator'].map((page) => `core/docs/meters/${page}.md`)
  // Keys, traces and addresses of the reader's, and what listens until it is stopped.
  const isOfReader = ({ words }: Command): boolean =>
    words.some((word) => /^(keys\.json|trace\.log|push-listen|10\.)/.test(word))
  const commands = pages
    .flatMap((page) => commandsOf(page))
    .filter((command) => !isOfReader(command))
  t.ok(commands.length >= 8, `${commands.length} commands`)
  for (const { words, isLeft } of commands) {
    const args = words
      .filter((word) => !word.startsWith('2>'))
      .map((word) => terminal.portsIn(word))
    if (isLeft) await terminal.leave(t, args)
    else t.not(await terminal.run(t, args), '', 'something is shown')
  }
})
