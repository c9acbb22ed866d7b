/**
 * `busbar load` against a whole deployment: closed loop, open loop, HTTP, and what it says when it
 * cannot run.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import type { LoadReport } from '../../../actors/load/load-tally.ts'
import { Deployment } from '../../support/deployment.ts'

const root = join(import.meta.dirname, '../../..')

type Ended = { code: number | null; out: string; err: string }

function load(...options: string[]): Promise<Ended> {
  const child = spawn(process.execPath, ['actors/main.ts', 'load', ...options], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended: Ended = { code: null, out: '', err: '' }
  child.stdout.on('data', (text) => (ended.out += String(text)))
  child.stderr.on('data', (text) => (ended.err += String(text)))
  return new Promise((resolve) => child.on('close', (code) => resolve({ ...ended, code })))
}

t.test('every request of a load run is accepted and answered once', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(20)
  const { grpc, http } = deployment.listening
  const common: readonly string[] = [
    '--devices',
    deployment.devicesFile,
    '--srv',
    '4.1.1,11.2',
    '--json',
  ]
  const short = ['--warm-up', '0', '--seconds', '1', '--drain', '100']
  const ways: Record<string, string[]> = {
    closed: ['--gateway', grpc, '--in-flight', '40'],
    open: ['--gateway', grpc, '--rate', '100'],
    'http closed': ['--http', `http://${http}`, '--in-flight', '10'],
    'http open': ['--http', `http://${http}`, '--in-flight', '10', '--rate', '50'],
  }
  for (const [name, way] of Object.entries(ways)) {
    const { code, out, err } = await load(...way, ...common, ...short)
    t.equal(code, 0, `${name}: ${err} ${out}`)
    const report = JSON.parse(out) as LoadReport
    t.ok(report.requests > 0, `${name}: ${report.requests} requests`)
    t.equal(report.accepted, report.requests)
    t.equal(report.responses, report.requests)
    t.same(report.codes, {})
  }
  const one = ['--device', deployment.devices[0]!.eui64, '--in-flight', '8']
  const words = await load('--gateway', grpc, ...one, ...short)
  t.match(words.out, /^Requests +\d+: \d+ accepted, 0 rejected\n/)
  t.match(words.out, /^Completion +p50 [\d.]+ ms/m)
})

t.test('what cannot be run is said in one line, with the exit code of the reason', async (t) => {
  const nobody = ['--gateway', '127.0.0.1:1', '--device', '00-DB-10-00-00-00-00-01']
  const trials: Array<[number, RegExp, string[]]> = [
    [3, /^Nobody listens at 127\.0\.0\.1:1/, nobody],
    [3, /^Nobody listens at http:/, ['--http', 'http://127.0.0.1:1', ...nobody]],
    [2, /name the targets/, []],
    [2, /is not an EUI-64/, ['--device', 'meter']],
    [2, /takes a body/, [...nobody, '--srv', '4.8.1']],
    [2, /not a service reference variant/, [...nobody, '--srv', '99.1']],
    [2, /--rate must be a number/, [...nobody, '--rate', 'fast']],
  ]
  for (const [wanted, words, options] of trials) {
    const { code, out, err } = await load(...options)
    t.equal(code, wanted, `${options.join(' ')}: ${err}`)
    t.match(err, words)
    t.equal(out, '')
  }
})
