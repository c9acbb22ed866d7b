/**
 * What a meter shows of its associations: one object for each client and one that stands for the
 * present one, the same by short name, and which logical devices a concentrator has. [IEC
 * 62056-6-2, Association LN version 1, Association SN version 1, SAP assignment]
 */
import { limits } from '../../../core/base/limits.ts'
import { copyOf } from '../../../core/base/bytes.ts'
import {
  ActionResult,
  conformanceSupported,
  DataAccessResult,
} from '../../../core/dlms/apdu/constants.ts'
import { ApplicationContext, secretBytesMax } from '../../../core/dlms/apdu/acse.ts'
import { Tag } from '../../../core/dlms/axdr/axdr.ts'
import { writeAttribute } from '../../../core/dlms/cosem/index.ts'
import { Mechanism } from '../../../core/dlms/security/suite.ts'
import { classObject, valueOfOctets } from './class-object.ts'
import { cosemObject, encoded, encodedEnumerations, type SimulatedObject } from './cosem-object.ts'
import { logicalDeviceNameOf } from './device-objects.ts'
import { listSelectors } from './list-selection.ts'
import type { Guard } from '../model/access-guard.ts'
import { managementClient, publicClient, type Link } from '../model/access-link.ts'
import type { MeterState } from '../model/meter-state.ts'
import { associationVersion } from './object-table.ts'

const associated = 2

const of = { classId: 15, version: associationVersion }
const objectIdentifier = (
  arc: 'application_context' | 'authentication_mechanism',
  last: number,
) => ({
  joint_iso_ctt_element: 2,
  country_element: 16,
  country_name_element: 756,
  identified_organization_element: 5,
  DLMS_UA_element: 8,
  ...(arc === 'application_context'
    ? { application_context_element: 1, context_id_element: last }
    : { authentication_mechanism_name_element: 2, mechanism_id_element: last }),
})
const contextName = (context: number): Buffer =>
  writeAttribute(of, 'application_context_name', objectIdentifier('application_context', context))
const mechanismName = (mechanism: number): Buffer =>
  writeAttribute(
    of,
    'authentication_mechanism_name',
    objectIdentifier('authentication_mechanism', mechanism),
  )
const securitySetup = encoded((w) => w.octetString(Buffer.of(0, 0, 43, 0, 0, 255)))
const noSecuritySetup = encoded((w) => w.octetString(Buffer.alloc(6)))

type Facts = {
  readonly isCiphered: boolean
  readonly hasSecret: boolean
  readonly contextName: Buffer
  readonly mechanismName: Buffer
}
function factsOf(guard: Guard, client: number): Facts {
  const isFree = guard === 'open' || client === publicClient
  const isCiphered = !isFree && guard === 'suite'
  const hasSecret = !isFree && guard === 'secret'
  const { LOGICAL_NAME, LOGICAL_NAME_CIPHERED } = ApplicationContext
  const mechanism = hasSecret ? Mechanism.LOW : Mechanism.NONE
  return {
    isCiphered,
    hasSecret,
    contextName: contextName(isCiphered ? LOGICAL_NAME_CIPHERED : LOGICAL_NAME),
    mechanismName: mechanismName(mechanism),
  }
}

/** Without `client`: that of the associated client. */
function association(obis: string, guard: Guard, client?: number): SimulatedObject {
  const own = factsOf(guard, client ?? managementClient)
  const seenByPublic = factsOf(guard, client ?? publicClient)
  return cosemObject({
    obis,
    ...of,
    attributeMax: 9,
    methodMax: 4,
    isPublic: client !== managementClient,
    unreadable: [7],
    writable: own.hasSecret ? [7] : [],
    // The proof of an association is taken before this is asked.
    ...(own.isCiphered && { invocable: [1], invoke: () => ActionResult.READ_WRITE_DENIED }),
    selectors: listSelectors,
    read(meter, attribute, _nowMs, selection, link) {
      if (selection !== undefined && attribute !== 2)
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
      const facts = link.role === 'public' ? seenByPublic : own
      const isPresent = client === undefined || client === link.client
      switch (attribute) {
        case 2: {
          const isLimited = guard !== 'open' && (client ?? link.client) === publicClient
          const role = isLimited ? 'public' : 'management'
          return selection === undefined
            ? meter.table.list(role, link)
            : meter.table.selectedList(role, link, selection)
        }
        case 3:
          return encoded((w) =>
            w
              .structure(2)
              .int8((client ?? link.client) & 0x7f)
              .uint16(link.device),
          )
        case 4:
          return facts.contextName
        case 5:
          return xdlmsContext(isPresent ? link : undefined)
        case 6:
          return facts.isCiphered ? mechanismName(meter.mechanism) : facts.mechanismName
        case 7:
          return DataAccessResult.READ_WRITE_DENIED
        case 8:
          return encodedEnumerations[isPresent && link.conformance !== 0 ? associated : 0]!
        default:
          return facts.isCiphered ? securitySetup : noSecuritySetup
      }
    },
    ...(own.hasSecret && { write: writeSecret }),
  })
}

function writeSecret(meter: MeterState, attribute: number, valueView: Buffer): number {
  if (attribute !== 7) return DataAccessResult.READ_WRITE_DENIED
  const value = valueOfOctets(valueView)
  if (value?.tag !== Tag.OCTET_STRING) return DataAccessResult.TYPE_UNMATCHED
  if (value.value.length === 0 || value.value.length > secretBytesMax)
    return DataAccessResult.OTHER_REASON
  meter.changesOrNew().secretBytes = copyOf(value.value)
  return DataAccessResult.SUCCESS
}

/** What was agreed on, or what may be. */
function xdlmsContext(link: Link | undefined): Buffer {
  const conformance = link?.conformance || conformanceSupported
  const bits = Buffer.of(conformance >> 16, conformance >> 8, conformance)
  return encoded((w) =>
    w
      .structure(6)
      .bitString(bits, 24)
      .uint16(link?.receivedBytesMax || limits.apduBytesMax)
      .uint16(link?.sentBytesMax || limits.apduBytesMax)
      .uint8(6)
      .int8(0)
      .octetString(Buffer.alloc(0)),
  )
}

/** Of the concentrator's first logical device, which is there to tell of the others. */
const sapAssignment = classObject({
  obis: '0-0:41.0.0.255',
  classId: 17,
  isPublic: true,
  isThere: (link) => link.places()[0]?.device === link.device,
  attributes: {
    SAP_assignment_list: (meter, _nowMs, link) =>
      writeAttribute(
        { classId: 17 },
        'SAP_assignment_list',
        link.places().map(({ device, number }) => ({
          SAP: device,
          logical_device_name: logicalDeviceNameOf(meter.model.population, number),
        })),
      ),
  },
})

export const associationObjectsOf = (guard: Guard): readonly SimulatedObject[] => [
  association('0-0:40.0.0.255', guard),
  association('0-0:40.0.1.255', guard, publicClient),
  association('0-0:40.0.2.255', guard, managementClient),
  sapAssignment,
]

/** The present association by short names. */
export const shortNameAssociation: SimulatedObject = cosemObject({
  obis: '0-0:40.0.0.255',
  classId: 12,
  version: 1,
  attributeMax: 2,
  methodMax: 8,
  isPublic: true,
  read: (meter, _attribute, _nowMs, _selection, link) => meter.table.shortNameList(link.role),
})
