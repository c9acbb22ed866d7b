/** Which ledger a start may work on, and what a running process makes of a ledger that changes. */
import t from 'tap'
import { IdentityGuard } from '../../../core/ledger/identity-guard.ts'
import {
  decodeDeployment,
  encodeDeployment,
  incarnationOf,
  judgeLedger,
  labelKey,
  labelOf,
  restoresOf,
  withIncarnation,
  type FoundLedger,
  type LedgerIdentity,
} from '../../../core/ledger/identity.ts'
import type { StreamLook } from '../../../core/ledger/opening.ts'
import { limits } from '../../../core/base/limits.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import type { KnownLedger } from '../../../core/ports/known-ledger.ts'

const idOf = (digit: string): string => digit.repeat(32)
const plain: LedgerIdentity = { id: idOf('a'), createdAtMs: 1, incarnations: [] }
const restoredOnce = withIncarnation(plain, {
  id: idOf('1'),
  kind: 'restored',
  atMs: 2,
  throughSequence: 50,
})
const foundOf = (
  identity: LedgerIdentity | undefined,
  more: Partial<FoundLedger> = {},
): FoundLedger => ({
  messages: 10,
  lastSequence: 100,
  label: undefined,
  deployment: { partitionCount: 16, identity, bucketSuffix: '', format: 1 },
  seen: 'same',
  contradiction: undefined,
  ...more,
})
const none: FoundLedger = {
  ...foundOf(undefined),
  messages: undefined,
  lastSequence: 0,
  deployment: undefined,
}
const knownOf = (incarnation: string, sequence = 90): KnownLedger => ({
  id: plain.id,
  incarnation,
  seen: { sequence, digest: 'd', isTick: true },
})
const known = knownOf(plain.id)
const unnamed: KnownLedger = { id: undefined, incarnation: undefined, seen: undefined }

t.test('what a start does', async (t) => {
  const other = foundOf({ ...plain, id: idOf('b') })
  const emptied: FoundLedger = { ...none, messages: 0, label: labelOf(plain) }
  const rows: Array<[string, KnownLedger | undefined, FoundLedger, string, string]> = [
    ['neither knows one', undefined, none, 'create', 'create'],
    ['an empty stream that somebody made', undefined, { ...none, messages: 0 }, 'create', 'create'],
    ['a new directory', undefined, foundOf(plain), 'adopt', 'adopt'],
    ['a ledger without an identity', undefined, foundOf(undefined), 'adopt', 'adopt'],
    ['both without one', unnamed, foundOf(undefined), 'adopt', 'adopt'],
    ['the same', known, foundOf(plain), 'same', 'same'],
    ['the same, trimmed', known, foundOf(plain, { seen: 'trimmed' }), 'same', 'same'],
    ['restored', known, foundOf(restoredOnce, { lastSequence: 50 }), 'restored', 'restored'],
    ['vanished', known, none, 'LEDGER_MISSING', 'create'],
    ['vanished, of an earlier version', unnamed, none, 'LEDGER_MISSING', 'create'],
    ['emptied', known, emptied, 'LEDGER_MISSING', 'create'],
    ['emptied, for a new directory', undefined, emptied, 'LEDGER_MISSING', 'create'],
    ['broken off', known, { ...none, messages: 3 }, 'LEDGER_MISSING', 'LEDGER_MISSING'],
    ['broken off', undefined, { ...none, messages: 3 }, 'LEDGER_MISSING', 'LEDGER_MISSING'],
    ['another', known, other, 'LEDGER_IDENTITY_MISMATCH', 'replace'],
    ['without an identity', known, foundOf(undefined), 'LEDGER_IDENTITY_MISMATCH', 'replace'],
    [
      'stores of another',
      unnamed,
      foundOf(undefined, { contradiction: 'x' }),
      'LEDGER_IDENTITY_MISMATCH',
      'replace',
    ],
    ['short', known, foundOf(plain, { lastSequence: 89 }), 'LEDGER_ROLLED_BACK', 'accept'],
    [
      'shorter than a store',
      { ...known, foldedThrough: 101 },
      foundOf(plain),
      'LEDGER_ROLLED_BACK',
      'accept',
    ],
    ['written on', known, foundOf(plain, { seen: 'other' }), 'LEDGER_ROLLED_BACK', 'accept'],
    ['with a hole', known, foundOf(plain, { seen: 'gone' }), 'LEDGER_ROLLED_BACK', 'accept'],
    ['folded', known, foundOf(plain, { contradiction: 'x' }), 'LEDGER_ROLLED_BACK', 'accept'],
    ['before the restore', knownOf(idOf('1')), foundOf(plain), 'LEDGER_ROLLED_BACK', 'accept'],
  ]
  for (const [what, one, found, plainly, accepted] of rows)
    for (const [isAccepted, wanted] of [
      [false, plainly],
      [true, accepted],
    ] as const) {
      const judged = judgeLedger(one, found, isAccepted)
      t.equal(typeof judged === 'string' ? judged : judged.code, wanted, `${what}, ${isAccepted}`)
    }
})

t.test('the record of the deployment', async (t) => {
  const old = Buffer.from('{"version":1,"partitionCount":16}')
  t.same(decodeDeployment(old), {
    partitionCount: 16,
    identity: undefined,
    bucketSuffix: '',
    format: 1,
  })
  const made = { partitionCount: 4, identity: restoredOnce, bucketSuffix: '_ab', format: 2 }
  t.same(decodeDeployment(encodeDeployment(made)), made)
  for (const text of ['', 'x', '[]', '{"partitionCount":1,"ledger":{}}', 'null', '{"ledger":1}'])
    t.throws(() => decodeDeployment(Buffer.from(text)), { code: 'LEDGER_IDENTITY_UNREADABLE' })
  let many = plain
  const count = limits.ledgerIncarnationsMax + 3
  for (let number = 1; number <= count; number++)
    many = withIncarnation(many, {
      id: number.toString(16).padStart(32, '0'),
      kind: 'restored',
      atMs: 1,
      throughSequence: 1,
    })
  t.equal(many.incarnations.length, limits.ledgerIncarnationsMax)
  t.equal(restoresOf(many), count, 'the number of restores is never forgotten')
  t.equal(incarnationOf(plain), plain.id)
})

t.test('a running process', async (t) => {
  let answer: StreamLook | Promise<StreamLook> = {}
  const lookOf = (identity: LedgerIdentity, lastSequence: number): StreamLook =>
    ({
      config: { metadata: { [labelKey]: labelOf(identity) } },
      state: { messages: 1, bytes: 1, last_seq: lastSequence },
    }) as unknown as StreamLook
  const guardOf = (isCluster = false, lost: string[] = []) => {
    const guard = new IdentityGuard({
      clock: systemClock,
      isCluster: () => isCluster,
      info: async () => answer,
      deployment: async () => undefined,
      onLost: ({ code }) => lost.push(code),
    })
    guard.expect(plain)
    return guard
  }
  const guard = guardOf()
  guard.acknowledged(7)
  answer = lookOf(plain, 7)
  await guard.verify()
  t.comment('what is acknowledged while the answer is on its way is not missing')
  const { promise, resolve } = Promise.withResolvers<StreamLook>()
  answer = promise
  const looked = guard.look()
  guard.acknowledged(8)
  resolve(lookOf(plain, 7))
  await looked
  t.equal(guard.fault, undefined)

  t.comment('a stream that is gone, and comes back')
  answer = { error: { err_code: 10_059, description: 'stream not found' } }
  await t.rejects(guard.verify(), { code: 'LEDGER_MISSING' })
  t.equal(guard.isVerified, false)
  answer = { config: {}, state: { last_seq: 0 } } as unknown as StreamLook
  await t.rejects(guard.verify(), { code: 'LEDGER_MISSING' })
  answer = lookOf(plain, 8)
  await guard.verify()
  t.equal(guard.isVerified, true)
  guard.onDisconnect()
  t.equal(guard.isVerified, false)

  t.comment('what cannot be undone')
  for (const [look, code] of [
    [lookOf({ ...plain, id: idOf('b') }, 100), 'LEDGER_IDENTITY_MISMATCH'],
    [lookOf(restoredOnce, 100), 'LEDGER_IDENTITY_MISMATCH'],
    [lookOf(plain, 6), 'LEDGER_ROLLED_BACK'],
  ] as const) {
    const lost: string[] = []
    const one = guardOf(false, lost)
    one.acknowledged(7)
    answer = look
    await t.rejects(one.verify(), { code })
    answer = lookOf(plain, 7)
    await t.rejects(one.verify(), { code }, 'it stays')
    t.same(lost, [code], 'reported once')
  }
  t.comment('in a cluster a server that was cut off may answer')
  const lost: string[] = []
  const member = guardOf(true, lost)
  member.acknowledged(7)
  answer = lookOf(plain, 6)
  await t.rejects(member.verify(), { code: 'LEDGER_ROLLED_BACK' })
  answer = lookOf(plain, 7)
  await member.verify()
  t.same(lost, [])
})
