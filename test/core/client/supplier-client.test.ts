/** How long a client waits for a gateway that says nothing. */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import t from 'tap'
import { SupplierClient } from '../../../core/client/supplier-client.ts'
import { OutputGatewayService } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { supplierText } from '../../support/envelopes.ts'

t.test('a stream of deliveries that the gateway does not end is given up in time', async (t) => {
  const server = new Server()
  let isHeard = false
  let isEnding = false
  server.addService(OutputGatewayService, {
    receive(call: NodeJS.EventEmitter & { end(): void; resume(): void }) {
      isHeard = true
      call.resume()
      call.on('end', () => {
        if (isEnding) call.end()
      })
    },
  } as never)
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (fault, bound) =>
      fault ? reject(fault) : resolve(bound),
    ),
  )
  t.teardown(() => server.forceShutdown())
  const credentials = { party: supplierText }
  const client = new SupplierClient({ address: `127.0.0.1:${port}`, credentials, callMs: 500 })
  t.teardown(() => client.close())
  await t.rejects(client.receive(7, () => undefined).end(), { message: /CANCELLED/ })
  t.ok(isHeard)
  isEnding = true
  await client.receive(7, () => undefined).end()
})
