/**
 * What the demonstration shows of registration: a file with the meter points of the whole fleet,
 * one change of supplier, the rejection of the losing supplier's next request, and why.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { demoPartiesJson, demoSupplierPartiesJson } from '../../core/access/parties.ts'
import type { Role } from '../../core/catalogue/service-requests.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import type { ServiceResponse } from '../../proto/gen/busbar/v1/service_response.ts'
import type { AccessJson } from '../broker/access-door.ts'
import type { SourceJson } from '../broker/source-door.ts'
import type { PartiesJson } from '../broker/party-door.ts'
import { askDoor } from '../cli/operator/ask-door.ts'
import { OperatorFault } from '../cli/operator-fault.ts'
import { loadFile } from '../cli/operator/registration-load.ts'
import { readingLines } from '../cli/party/reading-text.ts'
import { tableOf } from '../cli/table.ts'
import type { DemoDevice } from './plan.ts'
import {
  changedAt,
  meterPointsOf,
  meterPointText,
  participants,
  suppliedByFirst,
  writeRegistrationFile,
} from './registration-system.ts'
import { Supplier, type SupplierOptions } from './supplier.ts'

type PartyJson = (typeof demoPartiesJson)[number]

/** Of the roles that are registered by an id. */
const participantOf: { readonly [R in Role]?: string } = {
  IS: participants.supplier,
  ES: participants.supplier,
  GS: participants.supplier,
  ED: participants.distributor,
  GT: participants.transporter,
  RSA: participants.meterOperator,
}

const gainingParty: PartyJson = {
  eui64: '90-B3-D5-1F-30-01-00-02',
  role: 'IS',
  name: 'Demo Gaining Supplier',
  participant: participants.gainingSupplier,
}

/** Every party of `npm start`, with the ids by which the registration files name them. */
export const partiesOfDemo: readonly PartyJson[] = [
  ...[...demoPartiesJson, ...demoSupplierPartiesJson].map((party) => {
    const participant = participantOf[party.role]
    return participant === undefined ? party : { ...party, participant }
  }),
  gainingParty,
]

/**
 * Adds the parties that the broker does not know yet, or knows without their ids: its parties file
 * counts at its first start only, and a data directory may be older than this.
 */
export async function ensureParties(ops: string): Promise<void> {
  const { parties } = await askDoor<PartiesJson>(ops, 'GET', '/v1/parties')
  const known = new Map(parties.map((party) => [party.eui64, party]))
  for (const party of partiesOfDemo)
    if (known.get(party.eui64)?.participant !== party.participant)
      await askDoor(ops, 'POST', '/v1/parties', { body: { ...party, by } })
}
const by = 'npm start'
/** Between two questions whether something has taken effect. */
const lookMs = 50

/** Meter points for each device of the file, which is written again with them. */
export function addMeterPoints(file: string, devices: readonly DemoDevice[]): void {
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  const registered = lines.map((line, index) => {
    const meterPoints = meterPointsOf(devices[index]!, index).map(meterPointText)
    return JSON.stringify({ ...(JSON.parse(line) as object), meterPoints })
  })
  writeFileSync(file, `${registered.join('\n')}\n`, { mode: 0o600 })
}

export type Registered = { meterPoints: number; files: string[]; seconds: number }

/** Loads a file of each fuel with the meter points of all devices into the broker at `ops`. */
export async function registerMeterPoints(
  ops: string,
  folder: string,
  devices: readonly DemoDevice[],
): Promise<Registered> {
  const startedAt = performance.now()
  const points = devices.flatMap(meterPointsOf)
  const files: string[] = []
  let meterPoints = 0
  for (const fuel of ['electricity', 'gas'] as const) {
    const supplies = points.filter((point) => point.fuel === fuel).map(suppliedByFirst)
    if (supplies.length === 0) continue
    const kind = { fuel, kind: 'refresh' } as const
    const file = await writeRegistrationFile(filesIn(folder), kind, supplies, Date.now())
    meterPoints += await load(file, ops)
    files.push(file)
  }
  return { meterPoints, files, seconds: secondsSince(startedAt) }
}

const filesIn = (dataDir: string): string => join(dataDir, 'registration')

/**
 * Settles with the number of records that are registered. A fleet of another size than the last one
 * changes so much that the refresh waits for an operator: this is one.
 */
async function load(file: string, ops: string): Promise<number> {
  const options = { ops, checkDigit: true, response: undefined }
  const { state, source, structure, ended } = await loadFile(file, options, () => undefined)
  const { sequence } = structure.header
  const over = state === 'waiting' ? await approved(ops, source, sequence) : ended
  if (over?.outcome !== 'applied') throw new OperatorFault(`${file} is not applied: ${state}.`)
  return over.records - over.progress.rejected
}

type Ended = SourceJson['ended'][number]

async function approved(ops: string, source: string, sequence: number): Promise<Ended | undefined> {
  const path = `/v1/sources/${encodeURIComponent(source)}`
  await askDoor(ops, 'POST', `${path}/approve`, { body: { sequence, by } })
  for (;;) {
    const { open, ended } = await askDoor<SourceJson>(ops, 'GET', path)
    if (open?.sequence !== sequence) return ended.find((one) => one.sequence === sequence)
    await pause(lookMs)
  }
}

const secondsSince = (startedAt: number): number =>
  Math.round(performance.now() - startedAt) / 1_000

/** What each of the two suppliers gets when it reads the meter after the change. */
export type SupplierChange = {
  meterPoint: string
  device: string
  file: string
  losing: { party: string; participant: string; code: string | undefined }
  gaining: { party: string; participant: string; response: ServiceResponse | undefined }
  /** Why the losing supplier is rejected. */
  access: AccessJson
}

const srv = '4.1.1'
/** A change that becomes known late takes effect when its letter has reached the device. */
const effectMsMax = 10_000

/**
 * Changes the supplier of the last electricity meter from today on, and lets both suppliers read
 * it. Undefined with fewer than two such meters: the first one is for people who try commands.
 */
export async function changeSupplier(
  { ops, dataDir }: { ops: string; dataDir: string },
  devices: readonly DemoDevice[],
  options: SupplierOptions,
): Promise<SupplierChange | undefined> {
  const index = devices.findLastIndex(({ type }) => type === 'ESME')
  if (index === devices.findIndex(({ type }) => type === 'ESME')) return undefined
  const device = devices[index]!
  const point = meterPointsOf(device, index)[0]!
  const now = Date.now()
  const supply = changedAt(point, dayOf(now), dayOf(now - 86_400_000))
  const kind = { fuel: point.fuel, kind: 'update' } as const
  const file = await writeRegistrationFile(filesIn(dataDir), kind, [supply], now)
  await load(file, ops)
  const losing = { ...options, onProgress: () => undefined }
  const gaining = { ...losing, parties: new Map([[gainingParty.role, gainingParty.eui64]]) }
  const losingParty = options.parties.get(gainingParty.role)!
  const access = await refusalOf(ops, losingParty, device.eui64)
  const [refused, answered] = await Promise.all([
    readOnce(losing, device.eui64),
    readOnce(gaining, device.eui64),
  ])
  return {
    meterPoint: meterPointText(point),
    device: device.eui64,
    file,
    losing: { party: losingParty, participant: participants.supplier, code: refused.code },
    gaining: {
      party: gainingParty.eui64,
      participant: participants.gainingSupplier,
      response: answered.response,
    },
    access,
  }
}

/** YYYYMMDD. */
const dayOf = (ms: number): number =>
  Number(new Date(ms).toISOString().slice(0, 10).replaceAll('-', ''))

/** What access control says of the losing party as soon as it refuses it. */
async function refusalOf(ops: string, party: string, device: string): Promise<AccessJson> {
  const query = new URLSearchParams({ party, device, srv })
  const endsAt = performance.now() + effectMsMax
  for (;;) {
    const access = await askDoor<AccessJson>(ops, 'GET', `/v1/access?${query}`)
    if (access.result === 'refused' || performance.now() > endsAt) return access
    await pause(lookMs)
  }
}

async function readOnce(
  options: SupplierOptions,
  target: string,
): Promise<{ code: string | undefined; response: ServiceResponse | undefined }> {
  const supplier = new Supplier(options)
  try {
    const request = ServiceRequest.fromPartial({ serviceReferenceVariant: srv })
    const { refusals, samples } = await supplier.run([{ srv, role: 'IS', target, request }])
    return { code: [...refusals.keys()][0], response: samples.get(srv) }
  } finally {
    await supplier.close()
  }
}

/** Lines for people. */
export function registrationLines(
  { meterPoints, files, seconds }: Registered,
  change: SupplierChange | undefined,
): string[] {
  const first = `${meterPoints} meter points registered by ${files.join(' and ')} in ${seconds} s`
  if (change === undefined) return [first]
  const { meterPoint, device, losing, gaining, access, file } = change
  const reading = gaining.response && readingLines(gaining.response.body)[0]
  const rows = access.checks.map(({ id, result, ground }) => [id, result, ground])
  return [
    first,
    `change of supplier at ${meterPoint}, device ${device}, from today by ${file}:`,
    `    ${losing.participant} reads it, ${srv}: ${losing.code ?? 'accepted'}`,
    `    ${gaining.participant} reads it, ${srv}: ${reading ?? 'no answer'}`,
    `why ${losing.participant} is refused, as \`busbar access ${device} --party ${losing.party} --srv ${srv}\` shows it:`,
    ...tableOf([['check', 'result', 'ground'], ...rows]).map((line) => `    ${line}`),
  ]
}
