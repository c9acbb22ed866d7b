/**
 * A project of somebody else, with a package of ours installed from its tarball: commands run there
 * with an environment of their own, as on a machine that has nothing of this clone.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

export type Ended = { code: number | null; stdout: string; stderr: string }

/** A command that takes longer hangs; a compiler beside busy processes takes minutes. */
const commandMsMax = 600_000

/** npm's program file: the npm that runs these tests, else the one on the PATH. */
export function npmProgram(): string | undefined {
  const own = process.env['npm_execpath']
  if (own?.endsWith('npm-cli.js') && existsSync(own)) return own
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'npm'))
    .find((file) => existsSync(file))
  return found === undefined ? undefined : realpathSync(found)
}

/** What npm needs to reach its registry or its cache from here, and nothing of this project. */
function npmEnvironment(): Record<string, string> {
  const kept =
    /^(HOME|https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS|npm_config_(registry|cache|userconfig|globalconfig|cafile|https?_proxy|proxy))$/i
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => kept.test(entry[0]) && entry[1] !== undefined,
    ),
  )
}

export class Consumer {
  readonly folder: string
  private readonly node: string
  private readonly home: string

  /** @param node  the Node that everything here runs on; `folder` is made */
  constructor(folder: string, node: string) {
    this.folder = folder
    this.node = node
    this.home = `${folder}-home`
    mkdirSync(folder, { recursive: true })
    mkdirSync(this.home, { recursive: true })
    writeFileSync(
      join(folder, 'package.json'),
      '{"name":"consumer","private":true,"type":"module"}\n',
    )
  }

  /** `npm args…`, with the registry or the cache of the user of the tests. */
  npm(...args: readonly string[]): Promise<Ended> {
    return ended(this.start([npmProgram()!, ...args, '--no-audit', '--no-fund'], npmEnvironment()))
  }

  /** `npx busbar args…` */
  npx(...args: readonly string[]): Promise<Ended> {
    const npx = join(dirname(npmProgram()!), 'npx-cli.js')
    return ended(this.start([npx, '--no-install', 'busbar', ...args], {}))
  }

  /** What npx starts, without npm's own second; running, so that it can be talked to. */
  startBusbar(...args: readonly string[]): ChildProcess {
    return this.start([join(this.folder, 'node_modules/.bin/busbar'), ...args], {})
  }

  busbar(...args: readonly string[]): Promise<Ended> {
    return ended(this.startBusbar(...args))
  }

  /** Writes `text` as a file of the project and runs it. */
  script(name: string, text: string): Promise<Ended> {
    writeFileSync(join(this.folder, name), text)
    return ended(this.start([name], {}))
  }

  /** Runs a program of the clone, such as the type checker. */
  program(...args: readonly string[]): Promise<Ended> {
    return ended(this.start(args, {}))
  }

  /** Names of everything in node_modules, nested ones too. */
  installed(): string[] {
    const within = (folder: string): string[] =>
      !existsSync(folder)
        ? []
        : readdirSync(folder)
            .filter((name) => !name.startsWith('.'))
            .flatMap((name) =>
              name.startsWith('@')
                ? readdirSync(join(folder, name)).map((inner) => `${name}/${inner}`)
                : [name],
            )
            .flatMap((name) => [name, ...within(join(folder, name, 'node_modules'))])
    return within(join(this.folder, 'node_modules'))
  }

  read(path: string): string {
    return readFileSync(join(this.folder, path), 'utf8')
  }

  private start(args: readonly string[], env: Record<string, string>): ChildProcess {
    const server = process.env['NATS_SERVER_BIN']
    // The test runner gives NODE_OPTIONS of its own to every process that it sees started.
    const clean = ['-c', 'unset NODE_OPTIONS; exec "$0" "$@"', this.node, ...args]
    return spawn('/bin/sh', clean, {
      cwd: this.folder,
      timeout: commandMsMax,
      env: {
        HOME: this.home,
        // Of all projects of one test: the same files are compiled once for each Node.
        NODE_COMPILE_CACHE: join(dirname(this.folder), 'compiled'),
        ...env,
        PATH: [dirname(this.node), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter),
        ...(server && { NATS_SERVER_BIN: server }),
      },
    })
  }
}

/** Everything that it said, when it has ended. */
export function ended(child: ChildProcess): Promise<Ended> {
  const said = { stdout: '', stderr: '' }
  child.stdout!.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()))
  child.stderr!.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...said }))
  })
}
