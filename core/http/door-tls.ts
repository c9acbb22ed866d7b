/** TLS of a door, as its server needs it. Who the peers are is the business of who makes it. */
import type { SecureContextOptions, TlsOptions, TLSSocket } from 'node:tls'

export interface DoorTls {
  /** For the server, as they are now. */
  readonly options: TlsOptions
  /** Calls `listener` with what new connections get, whenever that is replaced. */
  onReplaced(listener: (context: SecureContextOptions) => void): void
  /** The handshake of a connection has ended; nothing of it was read yet. */
  opened(socket: TLSSocket): void
}
