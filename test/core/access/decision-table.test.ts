/**
 * The decision table of access control: every variant × role × standing of the party × command
 * variant × door × device type and status (or an unknown device) × registration, against codes that
 * expected-access.ts computes without any code of the product. Each variant is decided twice: as it
 * is served today, and as if it were served.
 */
import t from 'tap'
import {
  decideAccess,
  refusalAtDevice,
  refusalAtDoor,
  type AccessRow,
  type PartyStanding,
} from '../../../core/access/access-control.ts'
import { consentNeedOf } from '../../../core/access/consent-rules.ts'
import { Door } from '../../../core/access/access-rules.ts'
import { errorTable, type ErrorCode } from '../../../core/base/error-table.ts'
import type { Eui64 } from '../../../core/base/eui64.ts'
import { parseSrv } from '../../../core/base/srv.ts'
import { Role, serviceRequestOf } from '../../../core/catalogue/service-requests.ts'
import { DeviceType } from '../../../core/inventory/device-record.ts'
import { DeviceStatus } from '../../../core/inventory/device-status.ts'
import { ConsentCategory, Granularity, type Consent } from '../../../core/registration/consent.ts'
import {
  consentAt,
  withoutConsent,
  type Entitlement,
  type LinkedRights,
} from '../../../core/registration/rights.ts'
import { ExpectedAccess, fixtureFacts, type GivenConsent, sharedFacts } from './expected-access.ts'

const shared = sharedFacts()
const facts = shared ?? fixtureFacts()

const standings = {
  active: undefined,
  suspended: 'PARTY_SUSPENDED',
  unknown: 'PARTY_UNKNOWN',
} as const satisfies Record<string, PartyStanding>
const standingNames = ['active', 'suspended', 'unknown'] as const
const answers: readonly Entitlement[] = ['entitled', 'not-entitled', 'not-known-yet', 'no-consent']
const commandVariants = [1, 2, 3, 4, 5, 6, 7, 8, 9]

type DeviceCase = {
  type: DeviceType | undefined
  status: DeviceStatus
  registration: Entitlement
}
const deviceCases: readonly DeviceCase[] = answers.flatMap((registration) => [
  { type: undefined, status: 'Commissioned' as const, registration },
  ...DeviceType.flatMap((type) =>
    DeviceStatus.map((status): DeviceCase => ({ type, status, registration })),
  ),
])

const duisOf = (code: ErrorCode | undefined): string =>
  code === undefined ? '' : errorTable[code].duis

type Tally = { combinations: number; wrong: string[] }

/** Compares all combinations of one variant; the first few that differ are named. */
function compare(row: AccessRow, expected: ExpectedAccess, tally: Tally): void {
  const atDevice = deviceCases.map(({ type, status, registration }) =>
    expected.atDevice({ type: type ?? '', status: type ? status : '', registration }),
  )
  for (const role of Role)
    for (const standing of standingNames)
      for (const door of Door)
        for (const commandVariant of commandVariants) {
          const wanted = expected.atDoor({ role, standing }, commandVariant, door)
          for (let i = 0; i < deviceCases.length; i++) {
            const { type, status, registration } = deviceCases[i]!
            const code =
              refusalAtDoor(row, role, standings[standing], commandVariant, door) ??
              refusalAtDevice(row, type, status, registration)
            tally.combinations++
            if (duisOf(code) === (wanted || atDevice[i])) continue
            const where = `${row.text} ${role} ${standing} CV ${commandVariant} ${door} ${type} ${status} ${registration}`
            if (tally.wrong.length < 5)
              tally.wrong.push(`${where}: ${code}, expected ${wanted || atDevice[i] || 'none'}`)
          }
        }
}

/** The same by `decideAccess`, for one role that is eligible: its checks are objects. */
function compareExplained(row: AccessRow, expected: ExpectedAccess, tally: Tally): void {
  const role = row.roles[0]!
  for (const commandVariant of commandVariants)
    for (const door of Door)
      for (const { type, status, registration } of deviceCases) {
        const device = { deviceType: type, status, registration }
        const question = { row, role, standing: undefined, commandVariant, door, ...device }
        const { code, result } = decideAccess(question)
        const wanted =
          expected.atDoor({ role, standing: 'active' }, commandVariant, door) ||
          expected.atDevice({ type: type ?? '', status, registration })
        tally.combinations++
        const isRight =
          duisOf(code) === wanted &&
          result === (wanted === '' ? 'granted' : wanted === 'E57' ? 'unknown yet' : 'refused')
        if (!isRight && tally.wrong.length < 5)
          tally.wrong.push(`${row.text} explained: ${code} ${result}, expected ${wanted}`)
      }
}

t.test('the fixture holds the facts of ../shared/domain', async (t) => {
  if (shared === undefined) return t.comment('SKIPPED: ../shared/domain is not there')
  t.same(fixtureFacts(), shared)
})

t.test('the facts name what the product knows', async (t) => {
  t.equal(facts.variants.length, 129)
  t.same(facts.statuses, [...DeviceStatus])
  t.equal(facts.checks.length, 10)
  t.same(facts.off, ['7.16', '8.5', '8.6'])
})

t.test('every combination has the code that the facts give', async (t) => {
  let combinations = 0
  for (const variant of facts.variants) {
    const known = serviceRequestOf(parseSrv(variant.ref))
    if (known === undefined) {
      t.fail(`${variant.ref} is not in the catalogue`)
      continue
    }
    const tally: Tally = { combinations: 0, wrong: [] }
    for (const isServed of known.isServed ? [true] : [false, true]) {
      const row = { ...known, isServed }
      const expected = new ExpectedAccess(facts, variant, isServed)
      compare(row, expected, tally)
      compareExplained(row, expected, tally)
    }
    t.same(tally.wrong, [], `${variant.ref}: ${tally.combinations} combinations`)
    combinations += tally.combinations
  }
  t.comment(`${combinations} combinations decided`)
  t.ok(combinations > 10_000_000)
})

const asking = 'ASKINGxx' as Eui64
const someone = 'SOMEONEx' as Eui64
/** Every subset of the categories but the empty one. */
const categorySets = Array.from({ length: (1 << ConsentCategory.length) - 1 }, (_, index) =>
  ConsentCategory.filter((_category, place) => ((index + 1) & (1 << place)) !== 0),
)
/** One consent in each of all forms: whose, what about, how closely, and when it is asked for. */
const consentForms: readonly GivenConsent[] = [true, false].flatMap((isOfParty) =>
  categorySets.flatMap((categories) =>
    Granularity.flatMap((granularity) =>
      [9, 10, 15, 19, 20].map((at) => ({
        isOfParty,
        categories,
        granularity,
        from: 10,
        to: 20,
        at,
      })),
    ),
  ),
)

function isCodeRight(
  row: AccessRow,
  expected: ExpectedAccess,
  form: GivenConsent,
  isWhole: boolean,
): boolean {
  const { isOfParty, from, to, at, ...scope } = form
  const party = isOfParty ? asking : someone
  const consent = { id: 'c', party, fromMs: from, toMs: to, ...scope } as Consent
  const rights = {
    link: 1,
    version: 1,
    direction: 'import',
    periods: [],
    consents: [consent],
  } as const
  const points: LinkedRights[] = isWhole ? [{ rights }] : [{ rights }, {}]
  const found = consentAt(points, { role: 'OU', id: asking }, consentNeedOf(row.srv), at)
  const registration = found === undefined ? withoutConsent(points) : 'entitled'
  const isCovered = expected.isCovered(form)
  const answer = isCovered ? 'entitled' : isWhole ? 'no-consent' : 'not-known-yet'
  return DeviceType.every((type) => {
    const code = refusalAtDevice(row, type, 'Commissioned', registration)
    return (
      duisOf(code) === expected.atDevice({ type, status: 'Commissioned', registration: answer })
    )
  })
}

t.test(
  'a third party may send what its consent covers, by the names of the variants',
  async (t) => {
    let combinations = 0
    for (const variant of facts.variants.filter(({ roles }) => roles.includes('OU'))) {
      const row = serviceRequestOf(parseSrv(variant.ref))!
      const expected = new ExpectedAccess(facts, variant, row.isServed)
      const wrong: string[] = []
      for (const form of consentForms)
        for (const isWhole of [true, false]) {
          combinations += DeviceType.length
          if (!isCodeRight(row, expected, form, isWhole)) wrong.push(JSON.stringify(form))
        }
      t.same(wrong.slice(0, 3), [], variant.ref)
    }
    t.comment(`${combinations} combinations with consents decided`)
    t.ok(combinations > 100_000)
  },
)
