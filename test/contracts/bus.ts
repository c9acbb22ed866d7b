/**
 * What every Bus does, within a process and over NATS alike. `create` gives one end; all ends are
 * of one bus.
 */
import type { Test } from 'tap'
import type { Bus } from '../../core/ports/bus.ts'

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8')

export function busContract(
  t: Test,
  create: () => Bus,
  awaitTimeout: <T>(answer: Promise<T>) => Promise<T>,
): void {
  t.test('a frame goes to its server and an answer comes back', async (t) => {
    const bus = create()
    const served = await bus.serve('host.a', (frame, reply) =>
      reply(bytes(`re ${frame.toString()}`)),
    )
    t.equal((await bus.request('host.a', bytes('one'), 5_000)).toString(), 're one')
    t.equal((await bus.request('host.a', Buffer.alloc(0), 5_000)).toString(), 're ')
    t.equal(
      (await bus.request('host.a', Buffer.alloc(4 * 1024 * 1024, 'x'), 5_000)).length,
      4 * 1024 * 1024 + 3,
      'the largest frame',
    )
    await served.close()
    await t.rejects(
      bus.request('host.a', bytes('two'), 5_000),
      { code: 'BROKER_PARTITION_UNAVAILABLE' },
      'nobody there any more',
    )
  })

  t.test('nobody serves it', async (t) => {
    await t.rejects(create().request('host.nobody', bytes('x'), 60_000), {
      code: 'BROKER_PARTITION_UNAVAILABLE',
    })
  })

  t.test('answers may come late and in any order; frames come in order', async (t) => {
    const bus = create()
    const seen: string[] = []
    const replies: Array<() => void> = []
    const served = await bus.serve('host.b', (frame, reply) => {
      const text = frame.toString()
      seen.push(text)
      replies.push(() => reply(bytes(text)))
      if (replies.length === 100) for (const answer of replies.toReversed()) answer()
    })
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => bus.request('host.b', bytes(`${i}`), 5_000)),
    )
    t.strictSame(
      answers.map((answer) => answer.toString()),
      Array.from({ length: 100 }, (_, i) => `${i}`),
    )
    t.strictSame(
      seen,
      answers.map((answer) => answer.toString()),
    )
    await served.close()
  })

  t.test('no answer in time is an error, and the answer after it is harmless', async (t) => {
    const bus = create()
    let answerLate = (): void => {}
    const served = await bus.serve('host.c', (_frame, reply) => {
      answerLate = () => reply(bytes('late'))
    })
    await t.rejects(awaitTimeout(bus.request('host.c', bytes('x'), 30)), {
      code: 'BROKER_PARTITION_UNAVAILABLE',
    })
    answerLate()
    answerLate()
    await served.close()
    const again = await bus.serve('host.c', (_frame, reply) => reply(bytes('again')))
    t.equal((await bus.request('host.c', bytes('z'), 5_000)).toString(), 'again')
    await again.close()
  })

  t.test('announcements go to everybody who listens', async (t) => {
    const bus = create()
    const heard: string[] = []
    let all = (): void => {}
    const three = new Promise<void>((resolve) => {
      all = resolve
    })
    const onHeard = (who: string) => (data: Buffer) => {
      heard.push(`${who} ${data.toString()}`)
      if (heard.length === 3) all()
    }
    const one = await bus.listen('alive.*', onHeard('one'))
    const two = await bus.listen('alive.h1', onHeard('two'))
    bus.announce('alive.h1', bytes('h1'))
    bus.announce('alive.h2', bytes('h2'))
    await three
    t.strictSame(heard.toSorted(), ['one h1', 'one h2', 'two h1'])
    await one.close()
    await two.close()
    bus.announce('alive.h1', bytes('nobody hears'))
  })
}
