/**
 * What somebody with a DLMS explorer does with every kind of device: as public client, then as the
 * managing one; the object list, each attribute of each object, held against the class tables of
 * core; what may be written and invoked, and what may not; short names.
 */
import t, { type Test } from 'tap'
import { hdlcDeviceOf, hdlcPlaceOf, hdlcSapOf } from '../../../actors/simulator/network/framing.ts'
import { MeterAssociation } from '../../../actors/simulator/network/meter-association.ts'
import { Meter } from '../../../actors/simulator/meter.ts'
import { isPrepaid, typeOf, type Population } from '../../../actors/simulator/model/population.ts'
import { ActionResult, DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { DlmsClient } from '../../../core/dlms/client/client.ts'
import {
  decodeColumns,
  decodeObjectList,
  decodeShortNameList,
  classOf,
  findObject,
  invokeOperation,
  rangeOfTimes,
  readAttribute,
  readOperation,
  shortNamesOf,
  writeOperation,
  type Json,
  type ListedObject,
} from '../../../core/dlms/cosem/index.ts'
import { encodeDescriptor } from '../../../core/dlms/apdu/descriptor.ts'
import { InvocationCounter } from '../../../core/dlms/security/index.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import type { CosemOperation, CosemResult } from '../../../core/ports/wan.ts'
import { managerOf, MeterLine } from '../../support/meter-line.ts'
import { descriptor, nowMs } from '../../support/meters.ts'

const population: Population = {
  seed: 7,
  gasShare: 0.3,
  gasProxyShare: 0.1,
  solarShare: 0.3,
  secretShare: 0,
}
const guards = {
  open: population,
  secret: { ...population, secretShare: 1 },
  'suite 0': { ...population, securityShares: [1, 0, 0] },
  'suite 1': { ...population, securityShares: [0, 1, 0] },
  'suite 2': { ...population, securityShares: [0, 0, 1] },
} as const satisfies { readonly [guard: string]: Population }

/** The first meter for which `isWanted`. */
function meterOf(of: Population, isWanted: (meter: Meter) => boolean): Meter {
  const model = { population: of, clock: new SimClock(nowMs) }
  for (let number = 0; number < 200; number++) {
    const meter = new Meter(model, number)
    if (isWanted(meter)) return meter
  }
  throw new Error('no such meter among 200')
}

const hasGas = (meter: Meter): boolean => meter.gasMeter !== undefined
const kinds: { readonly [kind: string]: (meter: Meter) => boolean } = {
  ESME: (meter) => meter.type === 'ESME' && !hasGas(meter) && !isPrepaid(meter.type, meter.seed),
  'ESME with a gas meter': hasGas,
  'prepaid ESME': (meter) => isPrepaid(meter.type, meter.seed),
  GSME: (meter) => meter.type === 'GSME',
  GPF: (meter) => meter.type === 'GPF',
}

const association = { classId: 15, version: 1, instanceId: '0-0:40.0.0.255' }
const listOf = (line: MeterLine, client: DlmsClient, port: number): ListedObject[] => {
  const [answer] = line.exchange(client, [readOperation(association, 'object_list')], port)!
  const list = decodeObjectList(Buffer.from(answer!.value!))
  t.same(list.odd, [])
  return list.objects
}

/**
 * Each attribute of each object: read as the list says it may be, of the type that its class says.
 */
function readAll(t: Test, line: MeterLine, client: DlmsClient, port: number): Map<string, Buffer> {
  const values = new Map<string, Buffer>()
  for (const object of listOf(line, client, port)) {
    const { classId, version, instanceId, attributes } = object
    const known = classOf(classId, version)
    t.equal(known.version, version, `class ${classId} version ${version} is known`)
    t.same(
      attributes.map(({ id }) => id),
      known.attributes.map(({ id }) => id),
      instanceId,
    )
    t.same(
      object.methods.map(({ id }) => id),
      known.methods.map(({ id }) => id),
      instanceId,
    )
    const results = line.exchange(
      client,
      attributes.map(({ id }) => readOperation(object, id)),
      port,
    )!
    for (const [i, { id, canRead }] of attributes.entries()) {
      const { result, value } = results[i]!
      const what = `${instanceId} ${known.name} ${known.attributes[i]!.name}`
      if (!canRead) t.equal(result, DataAccessResult.READ_WRITE_DENIED, what)
      else if (result !== DataAccessResult.SUCCESS || value === undefined)
        t.fail(`${what}: ${result}`)
      else {
        const octets = Buffer.from(value)
        const { notes, json } = readAttribute({ classId, version }, id, octets)
        if (notes.length > 0) t.fail(what, { notes, json })
        if (id === 1) t.equal(json, instanceId)
        values.set(`${classId} ${instanceId} ${id}`, octets)
      }
    }
  }
  return values
}

for (const [guard, of] of Object.entries(guards))
  for (const [kind, isWanted] of Object.entries(kinds))
    t.test(`${kind}, ${guard}`, async (t) => {
      const meter = meterOf(of, isWanted)
      const line = new MeterLine([meter])
      const counter = new InvocationCounter(1)

      // The public client.
      const anybody = new DlmsClient()
      const [name, told] = line.exchange(
        anybody,
        [
          readOperation({ classId: 1, instanceId: '0-0:42.0.0.255' }, 2),
          readOperation({ classId: 1, instanceId: '0-0:43.1.0.255' }, 2),
        ],
        16,
      )!
      t.match(Buffer.from(name!.value!).toString('latin1'), /BSB/)
      const hasCounter = guard.startsWith('suite')
      t.equal(told!.result, hasCounter ? 0 : DataAccessResult.OBJECT_UNDEFINED)
      const publicList = listOf(line, anybody, 16)
      const isOpen = guard === 'open'
      t.equal(
        publicList.every(({ attributes }) => attributes.every((each) => !each.canWrite)),
        !isOpen,
      )
      t.equal(
        publicList.every(({ methods }) => methods.every((each) => !each.canInvoke)),
        !isOpen,
      )
      readAll(t, line, anybody, 16)

      // The managing client.
      const manager = managerOf(meter, counter)
      const objects = listOf(line, manager, 1)
      t.ok(objects.length > 25)
      t.equal(
        new Set(objects.map(({ instanceId }) => instanceId)).size,
        objects.length,
        'each once',
      )
      t.ok(isOpen ? publicList.length === objects.length : publicList.length < 8)
      const values = readAll(t, line, manager, 1)
      for (const object of objects) {
        const { classId, instanceId, attributes, methods } = object
        // Values go back as they were: allowed where it says so, and nothing changes. The clock
        // would.
        const kept = attributes.filter(({ id }) => values.has(`${classId} ${instanceId} ${id}`))
        const writes = kept.map(({ id }): CosemOperation => ({
          kind: 'set',
          descriptor: encodeDescriptor({ classId, instanceId, memberId: id }),
          value: values.get(`${classId} ${instanceId} ${id}`)!,
        }))
        const results = classId === 8 ? [] : line.exchange(manager, writes, 1)!
        for (const [i, { result }] of results.entries()) {
          const what = `${instanceId} attribute ${kept[i]!.id} is written`
          t.equal(result, kept[i]!.canWrite ? 0 : DataAccessResult.READ_WRITE_DENIED, what)
        }
        for (const { id, canInvoke } of methods) {
          if (canInvoke) continue
          const memberId = id
          const descriptor = encodeDescriptor({ classId, instanceId, memberId })
          const value = Buffer.from([15, 0])
          const [answer] = line.exchange(manager, [{ kind: 'action', descriptor, value }], 1)!
          t.equal(answer!.result, ActionResult.READ_WRITE_DENIED, `${instanceId} method ${id}`)
        }
      }

      // Profiles: columns that are there, units of registers, one day.
      for (const object of objects.filter(({ classId }) => classId === 7)) {
        const columns = decodeColumns(values.get(`7 ${object.instanceId} 3`)!)
        t.ok(columns.length > 0)
        for (const column of columns) {
          const captured = findObject({ objects, odd: [] }, column.instanceId, column.classId)
          t.ok(captured, `${column.instanceId} is captured by ${object.instanceId} and is there`)
        }
        const day = rangeOfTimes(columns[0]!, nowMs - 86_400_000, nowMs)
        const [rows] = line.exchange(manager, [readOperation(object, 'buffer', day)], 1)!
        t.equal(rows!.result, 0)
      }

      // What the association says of itself.
      const self = line.exchange(
        manager,
        [
          'associated_partners_id',
          'xDLMS_context_info',
          'association_status',
          'application_context_name',
        ].map((attribute) => readOperation(association, attribute)),
        1,
      )!
      const [partners, context, status, application] = self.map(
        ({ value }, i) => readAttribute(association, [3, 5, 8, 4][i]!, Buffer.from(value!)).json,
      )
      t.same(partners, { client_SAP: 1, server_SAP: 1 })
      t.match(context, { dlms_version_number: 6, max_receive_pdu_size: 65_535 })
      t.equal(status, 'associated')
      t.match(application, { context_id_element: hasCounter ? 3 : 1 })
    })

t.test('a concentrator tells of its logical devices, at the first address only', async (t) => {
  const model = { population, clock: new SimClock(nowMs) }
  const meters = [0, 1, 2].map((number) => new Meter(model, number))
  const line = new MeterLine(meters)
  const sap = readOperation({ classId: 17, instanceId: '0-0:41.0.0.255' }, 'SAP_assignment_list')
  const [first] = line.exchange(new DlmsClient(), [sap], 16, 1)!
  t.same(
    readAttribute({ classId: 17 }, 2, Buffer.from(first!.value!)).json,
    meters.map(({ number }, i) => ({
      SAP: 1 + i,
      logical_device_name: `BSB${{ ESME: 'E', GSME: 'G', GPF: 'P' }[typeOf(population, number)]}${String(number + 1).padStart(12, '0')}`,
    })),
  )
  const [second] = line.exchange(new DlmsClient(), [sap], 16, 2)!
  t.equal(second!.result, DataAccessResult.OBJECT_UNDEFINED)
})

t.test('on an HDLC line each meter is a physical device with one logical device', async (t) => {
  const model = { population, clock: new SimClock(nowMs) }
  const meter = new Meter(model, 4)
  const address = hdlcDeviceOf(4)
  t.equal(hdlcSapOf(address), 1)
  t.equal(hdlcPlaceOf(address), 5)
  const of = new MeterAssociation(meter, 1, address, {
    random: seededRandom(1),
    sapOf: hdlcSapOf,
    placesOf: () => [{ device: 1, number: 4 }],
  })
  const answer = (classId: number, obis: string, attribute: number): Json => {
    const value = of.get(descriptor(classId, obis, attribute), undefined)
    if (typeof value === 'number') return value
    return readAttribute({ classId }, attribute, value).json
  }
  t.same(answer(15, '0-0:40.0.0.255', 3), { client_SAP: 1, server_SAP: 1 })
  t.match(answer(17, '0-0:41.0.0.255', 2), [{ SAP: 1, logical_device_name: /5$/ }])
})

t.test('a secret that a client changes holds from the next association on', async (t) => {
  const meter = meterOf(guards.secret, kinds.ESME!)
  const line = new MeterLine([meter])
  const old = managerOf(meter)
  const object = { classId: 15, version: 1, instanceId: '0-0:40.0.0.255' }
  const secret = Buffer.from('another secret')
  const change = writeOperation(object, 'secret', secret.toString('hex'))
  t.equal(line.exchange(old, [change])![0]!.result, DataAccessResult.SUCCESS)
  const [still] = line.exchange(old, [readOperation(object, 'association_status')])!
  t.equal(still!.result, DataAccessResult.SUCCESS, 'the association goes on')
  line.reconnect()
  t.throws(() => line.exchange(new DlmsClient({ secret: Buffer.from('wrong') }), [change]), {
    code: 'DLMS_ASSOCIATION_REFUSED',
  })
  const [changed] = line.exchange(new DlmsClient({ secret }), [
    readOperation(object, 'object_list'),
  ])!
  t.equal(changed!.result, DataAccessResult.SUCCESS)
})

t.test('a part of the object list', async (t) => {
  const meter = meterOf(guards.open, kinds.ESME!)
  const line = new MeterLine([meter])
  const client = managerOf(meter)
  const list = readOperation(association, 'object_list')
  const ask = (selection: string): { classIds: number[]; hasRights: boolean } | number => {
    const asked = { ...list, selection: Buffer.from(selection.replaceAll(' ', ''), 'hex') }
    const [{ result, value }] = line.exchange(client, [asked])! as [CosemResult]
    if (value === undefined) return result
    const { objects, odd } = decodeObjectList(Buffer.from(value), 1)
    t.same(odd, [])
    return {
      classIds: objects.map(({ classId }) => classId),
      hasRights: objects.every(({ attributes }) => attributes.length > 0),
    }
  }
  const [answer] = line.exchange(client, [list])!
  const all = decodeObjectList(Buffer.from(answer!.value!)).objects
  const own = findObject({ objects: all, odd: [] }, association.instanceId)!
  t.same(own.attributes[1]!.selectors, [1, 2, 3, 4], 'the list says so itself')
  t.same(ask('01 00'), { classIds: all.map(({ classId }) => classId), hasRights: false })
  t.same(ask('02 0102 120008 12000f'), {
    classIds: all.map(({ classId }) => classId).filter((id) => id === 8 || id === 15),
    hasRights: false,
  })
  const clock = '0202 120008 0906 0000010000ff'
  t.same(ask(`03 0102 ${clock} 0202 12000f 0906 0000280000ff`), {
    classIds: [15, 8],
    hasRights: true,
  })
  t.same(ask(`04 ${clock}`), { classIds: [8], hasRights: true })
  t.equal(ask('02 00'), DataAccessResult.TYPE_UNMATCHED)
  t.equal(ask('04 0201 120008'), DataAccessResult.TYPE_UNMATCHED)
  t.equal(ask('05 00'), DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
  const status = { ...readOperation(association, 'association_status'), selection: Buffer.of(1, 0) }
  t.equal(line.exchange(client, [status])![0]!.result, DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
})

t.test('by short names', async (t) => {
  for (const some of [guards.open, guards.secret, guards['suite 0'], guards['suite 2']]) {
    const meter = meterOf(some, kinds.ESME!)
    const line = new MeterLine([meter])
    const names = new Map<string, number>()
    const nameOf = (kind: string, descriptor: Uint8Array): string =>
      `${kind === 'action' ? 'method' : 'attribute'} ${Buffer.from(descriptor).toString('hex')}`
    const client = managerOf(meter, undefined, undefined, ({ kind, descriptor }) =>
      names.get(nameOf(kind, descriptor)),
    )
    const present = { classId: 12, version: 1, instanceId: '0-0:40.0.0.255' }
    const list = readOperation(present, 'object_list')
    names.set(nameOf('get', list.descriptor), 0xfa08)
    const [answer] = line.exchange(client, [list])!
    const { objects, odd } = decodeShortNameList(Buffer.from(answer!.value!))
    t.same(odd, [])
    t.ok(objects.length > 40)
    const taken = new Set<number>()
    for (const object of objects) {
      const members = shortNamesOf(object)!
      for (const [kind, byId] of Object.entries({
        get: members.attributes,
        action: members.methods,
      }))
        for (const [memberId, name] of byId) {
          names.set(nameOf(kind, encodeDescriptor({ ...object, memberId })), name)
          if (taken.has(name)) t.fail(`${name} twice`)
          taken.add(name)
        }
    }
    for (const { classId, version, instanceId } of objects) {
      const of = { classId, version, instanceId }
      const { attributes } = classOf(classId, version)
      const results = line.exchange(
        client,
        attributes.map(({ id }) => readOperation(of, id)),
      )!
      for (const [i, { result, value }] of results.entries()) {
        const what = `${instanceId} ${attributes[i]!.name}`
        if (result !== 0 || value === undefined) t.fail(`${what}: ${result}`)
        else if (readAttribute(of, i + 1, Buffer.from(value)).notes.length > 0) t.fail(what)
      }
    }
    const supply = { classId: 70, instanceId: '0-0:96.3.10.255' }
    const [off] = line.exchange(client, [invokeOperation(supply, 'remote_disconnect')])!
    t.equal(off!.result, ActionResult.SUCCESS)
    t.notOk(meter.isConnected)
    const mode = writeOperation(
      { classId: 70, instanceId: supply.instanceId },
      'control_mode',
      'mode_2',
    )
    t.equal(line.exchange(client, [mode])![0]!.result, DataAccessResult.SUCCESS)
    const [read] = line.exchange(client, [readOperation(supply, 'control_mode')])!
    t.same(Buffer.from(read!.value!), Buffer.of(22, 2))
  }
})
