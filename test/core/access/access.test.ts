/**
 * Parties, identity and intake: who is speaking, and what is refused before any device is asked.
 */
import t from 'tap'
import { textOfEui64, parseEui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { identify } from '../../../core/access/identity.ts'
import { decideIntake, isOriginator } from '../../../core/access/intake.ts'
import { checkBody } from '../../../core/translate/body.ts'
import { serviceRequestOf } from '../../../core/catalogue/service-requests.ts'
import {
  demoParties,
  demoPartiesJson,
  partiesOf,
  type Party,
} from '../../../core/access/parties.ts'
import { serviceRequests } from '../../../core/catalogue/service-requests.ts'
import { RequestScan, scanServiceRequest } from '../../../core/translate/scan.ts'
import { ServiceRequest } from '../../../proto/gen/busbar/v1/service_request.ts'

const parties = demoParties()
const nowMs = Date.UTC(2026, 10, 23, 12)
const supplier = identify('90-B3-D5-1F-30-01-00-00', parties) as Party

t.test('parties of a file', (t) => {
  t.equal(parties.size, 8)
  t.equal(supplier.role, 'IS')
  const faultsOf = (json: unknown): string[] => {
    const read = partiesOf(json)
    return 'faults' in read ? (read.faults as string[]) : []
  }
  t.same(faultsOf([...demoPartiesJson]), [])
  t.equal(faultsOf({}).length, 1)
  t.equal(faultsOf([]).length, 1)
  t.equal(faultsOf([null, 'x']).length, 2)
  t.equal(
    faultsOf([{ eui64: 'x', role: 'XX', name: '', more: 1 }]).length,
    4,
    'all faults of a party are listed',
  )
  const one = { eui64: '90B3D51F30010000', role: 'IS', name: 'a' }
  t.match(faultsOf([one, { ...one, eui64: '90:b3:d5:1f:30:01:00:00' }]), [
    'party 2: 90-B3-D5-1F-30-01-00-00 stands twice',
  ])
  t.end()
})

t.test('the one door for identity', (t) => {
  for (const text of [
    '90-B3-D5-1F-30-01-00-00',
    '90b3d51f30010000',
    '90:B3:D5:1F:30:01:00:00',
    ' 90B3D51F30010000 ',
  ]) {
    t.equal(identify(text, parties), supplier, text)
    t.equal(identify(text, parties), supplier, `${text}, remembered`)
  }
  t.equal(identify(undefined, parties), 'PARTY_HEADER_MISSING')
  t.equal(identify('', parties), 'PARTY_HEADER_MISSING')
  t.equal(identify('supplier', parties), 'PARTY_HEADER_MALFORMED')
  t.equal(identify('90-B3-D5-1F-30-01-00', parties), 'PARTY_HEADER_MALFORMED')
  t.equal(identify('00-00-00-00-00-00-00-00', parties), 'PARTY_UNKNOWN')
  const others = partiesOf([{ eui64: '1111111111111111', role: 'OU', name: 'o' }])
  t.equal(
    'faults' in others ? '' : identify('90-B3-D5-1F-30-01-00-00', others),
    'PARTY_UNKNOWN',
    'one list of parties does not know of another',
  )
  t.end()
})

const request: ServiceRequest = {
  requestId: {
    originator: textOfEui64(supplier.id),
    target: '00-DB-00-00-00-00-00-01',
    counter: 1n,
  },
  serviceReferenceVariant: '4.1.1',
  deadline: undefined,
  priority: 0,
  assignCounter: false,
  correlation: 0,
  commandVariant: 0,
  firstInSequence: false,
  precedingRequestId: undefined,
  executionTime: undefined,
  signature: undefined,
  body: undefined,
}
const decide = (change: Partial<ServiceRequest>, party = supplier): string | undefined => {
  const view = Buffer.from(ServiceRequest.encode({ ...request, ...change }).finish())
  const scan = new RequestScan()
  t.equal(scanServiceRequest(view, 0, view.length, scan), undefined)
  return (
    decideIntake(party, undefined, scan, nowMs) ??
    checkBody(serviceRequestOf(scan.srv)!, view, scan, nowMs)
  )
}

t.test('intake, rule by rule', (t) => {
  t.equal(decide({}), undefined)
  t.equal(
    decide({ requestId: { ...request.requestId!, originator: '90-B3-D5-1F-30-02-00-00' } }),
    'PARTY_ORIGINATOR_MISMATCH',
  )
  t.equal(decide({ serviceReferenceVariant: '4.1.99' }), 'REQUEST_SRV_UNKNOWN')
  t.equal(decide({ serviceReferenceVariant: 'read' }), 'REQUEST_SRV_UNKNOWN')
  t.equal(decide({ serviceReferenceVariant: '1.1.1' }), 'REQUEST_SRV_UNSUPPORTED')
  t.equal(
    decide({ serviceReferenceVariant: '6.5' }),
    'PARTY_ROLE_INELIGIBLE',
    'the role comes before what is not served',
  )
  t.equal(
    decide({ serviceReferenceVariant: '4.2' }),
    'PARTY_ROLE_INELIGIBLE',
    'an import supplier does not read exports',
  )
  const variants = (serviceReferenceVariant: string) =>
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((commandVariant) =>
      decide({ serviceReferenceVariant, commandVariant }),
    )
  const unfit = 'REQUEST_COMMAND_VARIANT_UNFIT'
  const local = 'REQUEST_LOCAL_DELIVERY_UNAVAILABLE'
  t.same(
    variants('4.1.1'),
    [undefined, undefined, local, local, unfit, unfit, unfit, unfit, unfit, unfit, unfit],
    'command variants of a non-critical request',
  )
  const body = 'REQUEST_BODY_MISMATCH'
  t.same(
    variants('6.11'),
    [body, unfit, unfit, unfit, 'REQUEST_DOOR_UNFIT', body, local, local, unfit, unfit, unfit],
    'command variants of a critical request, sent without its body',
  )
  const exporter = identify('90-B3-D5-1F-30-02-00-00', parties) as Party
  t.equal(
    decide(
      {
        serviceReferenceVariant: '4.2',
        requestId: { ...request.requestId!, originator: textOfEui64(exporter.id) },
      },
      exporter,
    ),
    undefined,
  )
  t.equal(
    decide({ body: { $case: 'synchroniseClock', value: { toleranceSeconds: 1 } } }),
    'REQUEST_BODY_MISMATCH',
  )
  t.equal(decide({ serviceReferenceVariant: '4.8.1' }), 'REQUEST_BODY_MISMATCH')
  const period = (from: number, to: number): string | undefined =>
    decide({
      serviceReferenceVariant: '4.8.1',
      body: { $case: 'readPeriod', value: { startTime: new Date(from), endTime: new Date(to) } },
    })
  t.equal(period(nowMs - 1000, nowMs), undefined)
  t.equal(period(nowMs, nowMs - 1000), 'REQUEST_RANGE_BACKWARDS')
  t.equal(period(nowMs - 401 * 86_400_000, nowMs), 'REQUEST_RANGE_EXCEEDED')
  t.equal(
    decide({ deadline: new Date(nowMs - 1) }),
    undefined,
    'a repeat, perhaps: the device knows',
  )
  t.equal(decide({ deadline: new Date(nowMs + 1) }), undefined)
  t.equal(decide({ deadline: new Date(nowMs + limits.requestLifetimeMsMax) }), undefined)
  t.equal(
    decide({ deadline: new Date(nowMs + limits.requestLifetimeMsMax + 1) }),
    'REQUEST_DEADLINE_PAST',
  )
  t.end()
})

t.test('every variant, for every role: served and eligible, or refused by the right code', (t) => {
  for (const party of parties.values()) {
    for (const row of serviceRequests) {
      const code = decide(
        {
          serviceReferenceVariant: row.text,
          requestId: { ...request.requestId!, originator: textOfEui64(party.id) },
        },
        party,
      )
      const isOff = ['7.16', '8.5', '8.6'].includes(row.text)
      const expected =
        isOff || !row.roles.includes(party.role)
          ? 'PARTY_ROLE_INELIGIBLE'
          : !row.isServed
            ? 'REQUEST_SRV_UNSUPPORTED'
            : row.bodyType === 0
              ? undefined
              : 'REQUEST_BODY_MISMATCH'
      t.equal(code, expected, `${row.text} by ${party.role}`)
    }
  }
  t.end()
})

t.test('whose RequestID it is', (t) => {
  t.equal(isOriginator(supplier, parseEui64('90-B3-D5-1F-30-01-00-00')!), true)
  t.equal(isOriginator(supplier, parseEui64('90-B3-D5-1F-30-01-00-01')!), false)
  t.end()
})
