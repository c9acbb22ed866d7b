/**
 * The code that each request must get, computed from the facts of the domain alone: this file
 * imports nothing of the product. It reads ../shared/domain beside the checkout, or else
 * access-facts.json, which holds the same facts. The prose of the status matrix is resolved here a
 * second time.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export type Variant = {
  ref: string
  name: string
  critical: boolean
  nonDevice: boolean
  roles: string[]
  deviceTypes: string[]
}
export type CommandVariant = { cv: number; kind: string; endpoint: string }
export type AccessFacts = {
  variants: Variant[]
  commandVariants: CommandVariant[]
  /** Ids of the checks with their codes, in order. */
  checks: { id: string; code: string }[]
  statuses: string[]
  /** Variants that are off by default. */
  off: string[]
}

type SharedRow = {
  ref: string
  name: string
  critical: boolean
  kind: string
  eligibleUserRoles: string[]
  deviceTypes: string[]
}
type SharedAccess = {
  commandVariants: CommandVariant[]
  checks: { id: string; code: string | null }[]
  statusMatrix: { rows: string[] }
  eligibility: { disagreements: { ref: string; use: string }[] }
}

const domain = join(import.meta.dirname, '../../../../shared/domain')
const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'))

/** The facts from ../shared/domain; undefined where it is absent. */
export function sharedFacts(): AccessFacts | undefined {
  const paths = ['access-control.json', 'service-requests.json'].map((name) => join(domain, name))
  if (!paths.every((path) => existsSync(path))) return undefined
  const access = read(paths[0]!) as SharedAccess
  const { serviceRequests } = read(paths[1]!) as { serviceRequests: SharedRow[] }
  const isAsked = ({ id }: { id: string }): boolean => order.includes(id)
  return {
    variants: serviceRequests.map(
      ({ ref, name, critical, kind, eligibleUserRoles, deviceTypes }) => ({
        ref,
        name,
        critical,
        nonDevice: kind !== 'device',
        roles: eligibleUserRoles,
        deviceTypes,
      }),
    ),
    commandVariants: access.commandVariants.map(({ cv, kind, endpoint }) => ({
      cv,
      kind,
      endpoint,
    })),
    checks: access.checks.filter(isAsked).map(({ id, code }) => ({ id, code: code ?? '' })),
    statuses: access.statusMatrix.rows,
    off: access.eligibility.disagreements
      .filter(({ use }) => use.includes('off by default'))
      .map(({ ref }) => ref),
  }
}

export const fixtureFacts = (): AccessFacts =>
  read(join(import.meta.dirname, 'access-facts.json')) as AccessFacts

/** The checks that access control makes. */
const order = [
  'party',
  'roleSrv',
  'userStatus',
  'endpoint',
  'variant',
  'local',
  'device',
  'status',
  'type',
  'registration',
]

const keysAndRemoval = ['6.15.1', '6.23', '6.24.1', '8.3', '8.2']
const schedules = ['5.1', '5.2', '5.3']
const hubUpdates = ['8.14.1', '8.14.2', '8.14.3', '8.14.4']
/** The prose of the status matrix, with the device of the RequestID as the one meant. */
const mayIn: Record<string, (ref: string) => boolean> = {
  Pending: (ref) => ['8.2', '8.4', ...hubUpdates].includes(ref),
  Whitelisted: (ref) => ['8.2', '8.3', '8.4'].includes(ref),
  InstalledNotCommissioned: (ref) => !schedules.includes(ref),
  Commissioned: () => true,
  Suspended: (ref) => [...keysAndRemoval, '11.1', '11.2', '11.3', '6.21', '8.4'].includes(ref),
  Recovery: (ref) => keysAndRemoval.includes(ref),
  Recovered: (ref) => keysAndRemoval.includes(ref),
  Decommissioned: (ref) => ref === '8.2' || ref === '12.2',
  Withdrawn: (ref) => ref === '8.2' || ref === '8.6',
}

export type Sender = { role: string; standing: 'active' | 'suspended' | 'unknown' }
/** `type` and `status` are '' for a target that is not known. */
export type Target = { type: string; status: string; registration: string }

/**
 * What the consent of a third party must be about, read off the names of the variants; the first
 * that fits. '' is for a consent of any category.
 */
const consentNeeds: [RegExp, string, string][] = [
  [/Export Profile/, 'export', 'half-hourly'],
  [/Import Profile/, 'consumption', 'half-hourly'],
  [/Daily Consumption/, 'consumption', 'daily'],
  [/Tariff/, 'tariff', ''],
  [/Auxiliary|Boost/, 'load-control', ''],
  [/Join Service|Unjoin Service|Device Log/, 'home-devices', ''],
]
/** From the finest to the coarsest. */
const fineness = ['half-hourly', 'daily', 'monthly']

/** A consent with its times, against the time at which it is asked for. */
export type GivenConsent = {
  isOfParty: boolean
  categories: readonly string[]
  granularity: string
  from: number
  to: number
  at: number
}

/** Answers of one variant. A code is that of the GB interface; '' for none. */
export class ExpectedAccess {
  private readonly facts: AccessFacts
  private readonly variant: Variant
  private readonly codes: Map<string, string>
  private readonly kinds: string[]
  private readonly isOff: boolean
  private readonly isServed: boolean

  constructor(facts: AccessFacts, variant: Variant, isServed: boolean) {
    this.facts = facts
    this.variant = variant
    this.isServed = isServed
    this.codes = new Map(facts.checks.map(({ id, code }) => [id, code]))
    this.kinds = variant.nonDevice
      ? ['nonDevice']
      : variant.critical
        ? ['critical', 'signedPreCommand']
        : ['nonCritical']
    this.isOff = facts.off.includes(variant.ref)
  }

  private code(id: string): string {
    const code = this.codes.get(id)
    if (code === undefined || code === '') throw new Error(`no code for ${id}`)
    return code
  }

  atDoor({ role, standing }: Sender, cv: number, door: string): string {
    if (standing === 'unknown') return this.code('party')
    if (this.isOff || !this.variant.roles.includes(role)) return this.code('roleSrv')
    if (standing === 'suspended') return this.code('userStatus')
    const ofKind = this.facts.commandVariants.filter(({ kind }) => this.kinds.includes(kind))
    const asked = ofKind.find((one) => one.cv === cv)
    if (!ofKind.some(({ endpoint }) => endpoint === door)) return this.code('endpoint')
    if (asked !== undefined && asked.endpoint !== door) return this.code('endpoint')
    if (asked === undefined) return this.code('variant')
    // No device delivers on the spot yet.
    if ([2, 3, 6, 7].includes(cv)) return this.code('local')
    return this.isServed ? '' : 'E50'
  }

  atDevice({ type, status, registration }: Target): string {
    const { ref, deviceTypes } = this.variant
    if (ref === '12.1' || ref === '12.2') return ''
    if (type === '') return ref === '5.2' || ref === '5.3' ? '' : this.code('device')
    const hasStatus = type !== 'IHD' && type !== 'CAD'
    if (hasStatus && !mayIn[status]!(ref)) return this.code('status')
    if (!deviceTypes.includes(type)) return this.code('type')
    if (registration === 'entitled' || ref === '8.2') return ''
    // Nobody is told that it is not registered before that is known.
    return registration === 'not-known-yet' ? 'E57' : this.code('registration')
  }

  /** Whether a consent lets its third party send the variant. */
  isCovered(consent: GivenConsent): boolean {
    const need = consentNeeds.find(([pattern]) => pattern.test(this.variant.name))
    const { isOfParty, categories, granularity, from, to, at } = consent
    if (!isOfParty || at < from || at >= to) return false
    if (need === undefined) return true
    const [, category, finest] = need
    if (!categories.includes(category)) return false
    return finest === '' || fineness.indexOf(granularity) <= fineness.indexOf(finest)
  }
}
