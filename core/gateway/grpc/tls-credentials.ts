/**
 * TLS of a party door for grpc-js, whose own credentials know neither the versions of TLS nor a
 * peer that is refused later than in the handshake.
 */
import { ServerCredentials } from '@grpc/grpc-js'
import type { DoorTls } from '../../http/door-tls.ts'

export class TlsCredentials extends ServerCredentials {
  constructor(tls: DoorTls) {
    super(tls.options, tls.options)
    tls.onReplaced((context) => this.updateSecureContextOptions(context))
  }

  /** For servers that share a port: ours listens once. */
  _equals(other: ServerCredentials): boolean {
    return this === other
  }
}
