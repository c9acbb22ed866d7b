/** What the demonstration prints: progress, latency of a single request, and the next step. */
import t from 'tap'
import { aloneLatencies } from '../../../actors/demo/alone-latency.ts'
import { nextSteps } from '../../../actors/demo/next-steps.ts'
import type { Planned } from '../../../actors/demo/plan.ts'
import { ProgressBar } from '../../../actors/demo/progress-bar.ts'
import type { Account } from '../../../actors/demo/supplier.ts'

type Drawn = { written: string[]; bar: ProgressBar }

function barOn(columns: number | undefined, isTTY = true, env: Record<string, string> = {}): Drawn {
  const written: string[] = []
  const stream = {
    isTTY,
    ...(columns !== undefined && { columns }),
    write: written.push.bind(written),
  }
  return { written, bar: new ProgressBar(stream, env) }
}

t.test('the bar fits the terminal, however narrow', (t) => {
  for (const columns of [2, 10, 24, 30, 40, 80, 200, 0]) {
    const { written, bar } = barOn(columns)
    for (const done of [0, 999, 1_000]) bar.show(done, 1_000, 'requests')
    const width = columns || 80
    for (const text of written) t.ok(text.length - 1 < width, `${columns}: ${text.length}`)
    t.ok(written.every((text) => text.startsWith('\r') && !text.includes('\n')))
    bar.end()
    t.equal(written.at(-1), '\n')
  }
  const { written, bar } = barOn(undefined)
  bar.show(100, 200, 'requests')
  bar.show(1, 2, 'x')
  t.equal(written[0], `\r[${'█'.repeat(20)}${' '.repeat(20)}] 100/200 requests`)
  t.equal(written[1]!.length, written[0]!.length, 'a shorter line overwrites all of the longer one')
  t.end()
})

t.test('plain lines without a terminal, with NO_COLOR and on a dumb terminal', (t) => {
  for (const { written, bar } of [
    barOn(80, false),
    barOn(80, true, { NO_COLOR: '1' }),
    barOn(80, true, { TERM: 'dumb' }),
  ]) {
    bar.show(1, 2, 'requests')
    bar.show(2, 2, 'requests')
    bar.end()
    t.same(written, ['1/2 requests\n', '2/2 requests\n'])
  }
  t.end()
})

t.test(
  'requests run one after the other; the first and unanswered ones are not measured',
  async (t) => {
    let answered = 0
    let runs = 0
    const runner = {
      run: (plan: readonly Planned[]) => {
        t.equal(plan.length, 1)
        if (++runs !== 5) answered++
        return Promise.resolve({ answered, tookMs: 100 - runs } as Account)
      },
    }
    const latencies = await aloneLatencies(runner, [{} as Planned, {} as Planned])
    t.equal(runs, 21)
    t.equal(latencies.length, 19)
    t.equal(latencies[0], 79)
    t.equal(latencies.at(-1), 98)
    t.same(await aloneLatencies(runner, []), [])
  },
)

t.test('the next step names the addresses, party and device in use', (t) => {
  const around = {
    grpc: '127.0.0.1:50051',
    ops: '127.0.0.1:9464',
    party: '90-B3-D5-1F-30-01-00-00',
    device: '00-DB-10-00-00-00-00-01',
    dataDir: '.busbar/demo',
    isOnce: false,
  }
  t.match(nextSteps(around), [
    /second terminal/,
    /busbar submit --pki \S+ --party 90-B3-D5-1F-30-01-00-00 --device 00-DB-10-00-00-00-00-01 --srv/,
    /busbar receive --pki \S+ --party 90-B3-D5-1F-30-01-00-00/,
    /curl http:\/\/127\.0\.0\.1:9464\/metrics/,
  ])
  const elsewhere = nextSteps({ ...around, grpc: '[::1]:7', ops: '[::1]:8' })
  t.match(elsewhere.join('\n'), /submit --gateway \[::1\]:7 [^]*receive --gateway \[::1\]:7 /)
  t.notMatch(nextSteps({ ...around, device: undefined }).join('\n'), /submit/)
  const once = nextSteps({ ...around, isOnce: true, dataDir: "it's here" }).join('\n')
  t.match(once, /npm start -- --data-dir 'it'\\''s here'$/)
  t.match(nextSteps({ ...around, isOnce: true }).at(-1), /npm start$/)
  t.notMatch(once, /submit|receive|curl/, 'nobody listens any more')
  t.end()
})
