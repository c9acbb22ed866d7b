/**
 * The demonstration supplier says when one of its streams ends, and waits no longer for its
 * answers.
 */
import t from 'tap'
import {
  demoPartiesJson,
  demoSupplierPartiesJson,
  partiesOf,
} from '../../../core/access/parties.ts'
import type { Role } from '../../../core/catalogue/service-requests.ts'
import { Supplier } from '../../../actors/demo/supplier.ts'
import { ServiceRequest } from '../../../proto/gen/busbar/v1/service_request.ts'
import { accepted, makeRig, meter, serveHost, supplier } from '../../core/gateway/rig.ts'

t.test('the demonstration has parties of its own, one of each role', (t) => {
  const all = partiesOf([...demoPartiesJson, ...demoSupplierPartiesJson])
  t.notOk('faults' in all, 'together they are a parties file without faults')
  t.same(
    demoSupplierPartiesJson.map(({ role }) => role),
    demoPartiesJson.map(({ role }) => role),
  )
  t.end()
})

t.test('a receiver that is superseded is reported, and the run ends', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const requestsAtHost = await serveHost(rig.bus, 'a', () => accepted)
  const lines: string[] = []
  const demonstration = new Supplier({
    credentialsOf: (party) => ({ party }),
    address: rig.address,
    parties: new Map<Role, string>([['IS', supplier]]),
    onProgress: () => {},
    onStreamEnd: (line) => lines.push(line),
  })
  const planned = {
    srv: '4.1.1',
    role: 'IS' as const,
    target: meter,
    request: ServiceRequest.create({ serviceReferenceVariant: '4.1.1' }),
  }
  // More than its window: the rest is not submitted any more.
  const running = demonstration.run(Array.from({ length: 600 }, () => planned))
  while (requestsAtHost.length === 0) await new Promise<void>((resolve) => setImmediate(resolve))
  const other = rig.client().receive(10, () => {})
  const account = await running
  t.equal(account.missing, 600)
  t.equal(lines.length, 1)
  t.match(lines[0], /receiver.*90-B3-D5-1F-30-01-00-00 \(IS\).*DELIVERY_RECEIVER_SUPERSEDED/)
  await other.end()
  await demonstration.close()
  t.equal(lines.length, 1, 'its own end is not reported')
})
