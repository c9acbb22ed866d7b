/**
 * The local store on a disk that is really full: LMDB's own failures, not simulated ones. Each case
 * in a process of its own, which must live.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { smallDisk, whyNoSmallDisk, type SmallDisk } from '../support/small-disk.ts'

const fixture = fileURLToPath(new URL('fixtures-store-disk.ts', import.meta.url))

const skip = await whyNoSmallDisk()

/** Runs a case of the fixture; what it printed, and how it ended. */
function runCase(name: string, disk: SmallDisk): Promise<{ said: string[]; ended: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [fixture, name, join(disk.path, 'actors')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const said: string[] = []
    let rest = ''
    child.stdout.on('data', (text: Buffer) => {
      const lines = (rest + text.toString()).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        said.push(line)
        if (line === 'fill') disk.fill()
        if (line === 'free') disk.free()
        if (line === 'fill' || line === 'free') child.stdin.write(`${line}\n`)
      }
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve({ said, ended: signal ?? `code ${code}` }))
  })
}

const cases: Record<string, string[]> = {
  'full while it is used': [
    'saved',
    'fill',
    'saved on a full disk',
    'free',
    'on disk',
    'no trouble',
  ],
  'full at the first start': ['fill', 'served from memory', 'free', 'on disk', 'no trouble'],
  'full at a later start': ['saved', 'fill', 'served', 'free', 'on disk', 'no trouble'],
  'views full while they are used': ['fill', 'save rejected', 'free', 'saved'],
  'views full at the start': ['fill', 'read rejected', 'free', 'saved'],
}

for (const [name, expected] of Object.entries(cases))
  t.test(name, { skip }, async (t) => {
    const disk = (await smallDisk(16 * 1024 * 1024)) as SmallDisk
    t.teardown(() => disk.close())
    const { said, ended } = await runCase(name, disk)
    t.same(said, expected)
    t.equal(ended, 'code 0')
  })
