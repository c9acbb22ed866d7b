/**
 * Access control: the checks in their order with their grounds, and that the entry points of the
 * hot path agree with `decideAccess`. Which code each combination has: decision-table.test.ts.
 */
import { DeviceStatus } from '../../../core/inventory/device-status.ts'
import fc from 'fast-check'
import t from 'tap'
import {
  decideAccess,
  oneDoorOf,
  refusalAtDevice,
  refusalAtDoor,
  type AccessQuestion,
  type PartyStanding,
} from '../../../core/access/access-control.ts'
import { accessChecks, Door, registrationBasisOf } from '../../../core/access/access-rules.ts'
import { errorTable } from '../../../core/base/error-table.ts'
import { parseSrv } from '../../../core/base/srv.ts'
import {
  Role,
  serviceRequestOf,
  serviceRequests,
} from '../../../core/catalogue/service-requests.ts'
import { DeviceType } from '../../../core/inventory/device-record.ts'

const rowOf = (srv: string) => serviceRequestOf(parseSrv(srv))!

const granted: AccessQuestion = {
  row: rowOf('4.1.1'),
  role: 'IS',
  standing: undefined,
  commandVariant: 1,
  door: 'serviceS',
  deviceType: 'ESME',
  status: 'Commissioned',
  registration: 'entitled',
}
const codeOf = (change: Partial<AccessQuestion>) => decideAccess({ ...granted, ...change }).code

const questions = fc.record({
  row: fc
    .tuple(fc.constantFrom(...serviceRequests), fc.boolean())
    .map(([row, isServed]) => ({ ...row, isServed })),
  role: fc.constantFrom(...Role),
  standing: fc.constantFrom<PartyStanding>(
    undefined,
    undefined,
    'PARTY_SUSPENDED',
    'PARTY_UNKNOWN',
  ),
  commandVariant: fc.nat({ max: 9 }),
  door: fc.constantFrom(...Door),
  deviceType: fc.constantFrom<DeviceType | undefined>(undefined, ...DeviceType),
  status: fc.constantFrom(...DeviceStatus),
  registration: fc.constantFrom('entitled', 'not-entitled', 'not-known-yet', 'not-asked'),
}) as fc.Arbitrary<AccessQuestion>

t.test('each check refuses with its code, in the order of the rules', async (t) => {
  t.equal(codeOf({}), undefined)
  // From the last check to the first: each change brings a fault that comes before the others.
  const change: Partial<AccessQuestion> = {}
  const codeWith = (more: Partial<AccessQuestion>) => codeOf(Object.assign(change, more))
  t.equal(codeWith({ registration: 'not-entitled' }), 'PARTY_NOT_REGISTERED')
  t.equal(codeWith({ deviceType: 'CHF' }), 'DEVICE_TYPE_UNFIT')
  t.equal(codeWith({ status: 'Withdrawn' }), 'DEVICE_STATUS_UNFIT')
  t.equal(codeWith({ deviceType: undefined }), 'DEVICE_UNKNOWN')
  t.equal(codeWith({ row: { ...granted.row, isServed: false } }), 'REQUEST_SRV_UNSUPPORTED')
  t.equal(codeWith({ commandVariant: 3 }), 'REQUEST_LOCAL_DELIVERY_UNAVAILABLE')
  t.equal(codeWith({ commandVariant: 5 }), 'REQUEST_COMMAND_VARIANT_UNFIT')
  t.equal(codeWith({ door: 'serviceT' }), 'REQUEST_DOOR_UNFIT')
  t.equal(codeWith({ standing: 'PARTY_SUSPENDED' }), 'PARTY_SUSPENDED')
  t.equal(codeWith({ role: 'LC' }), 'PARTY_ROLE_INELIGIBLE')
  t.equal(codeWith({ standing: 'PARTY_UNKNOWN' }), 'PARTY_UNKNOWN')
})

t.test('the codes of the rules are those of the GB interface', async (t) => {
  for (const { id, by, codes, duis } of accessChecks)
    if (by !== 'not checked yet' && /^E\d+$/.test(duis) && id !== 'registration')
      for (const code of codes) {
        const isOther = code === 'REQUEST_RANGE_EXCEEDED'
        t.equal(errorTable[code].duis, isOther ? 'E44' : duis, `${id}: ${code}`)
      }
  t.equal(errorTable.PARTY_NOT_REGISTERED.duis, 'E4')
  t.equal(errorTable.RIGHTS_NOT_KNOWN.retry, 'later')
})

t.test('a decision has a ground for each check', async (t) => {
  const { result, code, checks } = decideAccess({ ...granted, status: 'Pending' })
  t.equal(result, 'refused')
  t.equal(code, 'DEVICE_STATUS_UNFIT')
  t.same(checks, [
    { id: 'party', result: 'passed', ground: 'a known party with the role IS' },
    { id: 'roleSrv', result: 'passed', ground: '4.1.1 is for IS, GS, ED, GT; the role is IS' },
    { id: 'userStatus', result: 'passed', ground: 'the party is active' },
    { id: 'endpoint', result: 'passed', ground: 'a non-critical request at the door serviceS' },
    { id: 'variant', result: 'passed', ground: 'command variant 1 for a non-critical request' },
    { id: 'local', result: 'passed', ground: 'local delivery is not asked for' },
    { id: 'served', result: 'passed', ground: '4.1.1 is served' },
    { id: 'device', result: 'passed', ground: 'the device is known' },
    { id: 'status', result: 'failed', ground: 'the status of the device is Pending' },
    { id: 'type', result: 'not asked', ground: 'an earlier check has decided' },
    { id: 'registration', result: 'not asked', ground: 'an earlier check has decided' },
  ])
  t.match(decideAccess({ ...granted, registration: 'not-known-yet' }), {
    result: 'unknown yet',
    code: 'RIGHTS_NOT_KNOWN',
  })
  const wan = { ...granted, row: { ...rowOf('12.1'), isServed: true }, deviceType: undefined }
  const decision = decideAccess({ ...wan, commandVariant: 8, door: 'serviceD' })
  t.equal(decision.result, 'granted')
  t.equal(decision.checks.filter((one) => one.result === 'not asked').length, 4, 'no device needed')
})

t.test('the hot path agrees with the decision that is explained', async () => {
  fc.assert(
    fc.property(questions, (question) => {
      const { row, role, standing, commandVariant, door } = question
      const { deviceType, status } = question
      const registration =
        question.registration === 'not-asked' ? 'entitled' : question.registration
      const decision = decideAccess(question)
      const atDoor = refusalAtDoor(row, role, standing, commandVariant, door)
      const isLocal = [2, 3, 6, 7].includes(commandVariant)
      const code = atDoor ?? refusalAtDevice(row, deviceType, status, registration, isLocal)
      if (decision.code !== code) return false
      const failed = decision.checks.filter(({ result }) => result === 'failed')
      if (code === undefined) return decision.result === 'granted' && failed.length === 0
      const [one] = failed
      const known = accessChecks.find(({ id }) => id === one?.id)
      return failed.length === 1 && known?.codes.includes(code) === true
    }),
    { numRuns: 20_000 },
  )
})

t.test('the one door counts as the web service that the command variant is for', async (t) => {
  t.equal(oneDoorOf(rowOf('4.1.1'), 0), 'serviceS')
  t.equal(oneDoorOf(rowOf('7.1'), 5), 'serviceS')
  t.equal(oneDoorOf(rowOf('7.1'), 4), 'serviceS', 'it makes no pre-commands')
  t.equal(oneDoorOf(rowOf('7.1'), 6), 'serviceD')
  t.equal(oneDoorOf(rowOf('8.2'), 1), 'serviceD')
})

t.test('what gives a right', async (t) => {
  t.match(registrationBasisOf('IS', 'ESME'), /import MPAN/)
  t.match(registrationBasisOf('RSA', 'GSME'), /asset manager/)
  t.equal(registrationBasisOf('GS', 'ESME'), undefined)
})
