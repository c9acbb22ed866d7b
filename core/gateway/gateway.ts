/**
 * A gateway process's doors together: one intake and one set of delivery seats behind gRPC and
 * HTTP. The composition root makes one; several may run for one ledger.
 */
import type { PartySource } from '../access/directory.ts'
import type { RejectionSink } from '../access/rejection-sink.ts'
import { limits } from '../base/limits.ts'
import { BytesInFlight } from '../base/bytes-in-flight.ts'
import type { DoorTimes } from '../http/door.ts'
import type { CertificateSource } from '../pki/certificate-source.ts'
import { Signers } from '../pki/signers.ts'
import type { Bus, OwnerDirectory } from '../ports/bus.ts'
import type { Clock } from '../ports/clock.ts'
import type { CursorStore, DeliveryFeed } from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'
import type { Metrics } from '../ports/metrics.ts'
import type { Random } from '../ports/random.ts'
import type { SignatureVerifier } from '../ports/signatures.ts'
import type { ResponseLookup } from '../ports/responses.ts'
import { Deliveries } from './delivery/deliveries.ts'
import { GrpcGateway } from './grpc/grpc-gateway.ts'
import { HttpGateway, type Explain } from './http/http-gateway.ts'
import { Intake } from './intake/intake.ts'
import { PartyAccounts } from './intake/party-account.ts'
import { Responses } from './delivery/responses.ts'
import { PartyTls } from './party-tls.ts'

export type GatewayPorts = {
  bus: Bus
  directory: OwnerDirectory
  feed: DeliveryFeed
  cursors: CursorStore
  responses: ResponseLookup
  parties: PartySource
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
  /** Names and origins of the HTTP door besides its own, see core/http/site.ts. */
  site?: { readonly hosts: readonly string[]; readonly origins: readonly string[] }
  httpTimes?: Partial<DoorTimes>
  /** Mutual TLS at both doors; without it a header names the party. */
  certificates?: CertificateSource | undefined
  /** Verifies signatures of requests; without it no signed request is taken. */
  verifier?: SignatureVerifier
  /** Left out, no rejection is recorded. */
  rejections?: RejectionSink | undefined
  explain?: Explain | undefined
}

/** Where a door listens; port 0 for any. */
export type DoorAddress = { host: string; port: number }

export class Gateway {
  readonly intake: Intake
  private readonly clock: Clock
  private readonly bytes = new BytesInFlight()
  private readonly grpc: GrpcGateway
  private readonly http: HttpGateway
  private readonly deliveries: Deliveries
  private readonly responses: Responses
  private readonly stopFollowing: () => void
  private readonly tls: PartyTls | undefined

  constructor(ports: GatewayPorts) {
    this.clock = ports.clock
    const { verifier, certificates: source } = ports
    const signatures = verifier && { verifier, signers: new Signers(source) }
    this.intake = new Intake({ ...ports, signatures, format: () => ports.parties.format })
    this.deliveries = new Deliveries(ports)
    this.responses = new Responses({ ...ports, intake: this.intake })
    const accounts = new PartyAccounts(ports.random)
    const { parties, certificates } = ports
    this.tls = certificates && new PartyTls({ ...ports, certificates })
    this.stopFollowing = parties.onChange(() => accounts.update(parties.known))
    const shared = {
      intake: this.intake,
      deliveries: this.deliveries,
      responses: this.responses,
      accounts,
      bytes: this.bytes,
      tls: this.tls,
    }
    this.grpc = new GrpcGateway({ ...ports, ...shared })
    const { httpTimes: times } = ports
    this.http = new HttpGateway({ ...ports, ...shared, ...(times !== undefined && { times }) })
  }

  /** Octets of messages that the doors hold. */
  get bytesInFlight(): number {
    return this.bytes.used
  }

  /**
   * Opens both doors, each at its own address; settles with the ports. Rejects when an address is
   * taken, with nothing left open.
   */
  async listen(
    grpc: DoorAddress,
    http: DoorAddress,
  ): Promise<{ grpcPort: number; httpPort: number }> {
    const grpcPort = await this.grpc.listen(grpc.host, grpc.port)
    try {
      return { grpcPort, httpPort: await this.http.listen(http.host, http.port) }
    } catch (error) {
      await this.grpc.close()
      throw error
    }
  }

  /**
   * Refuses new requests, waits for the acknowledgements of the open ones (within `waitMs`), then
   * ends every stream and stops listening.
   */
  async close(waitMs: number = limits.acknowledgementWaitMsMax): Promise<void> {
    this.grpc.drain()
    await new Promise<void>((resolve) => {
      const disarm = this.clock.at(this.clock.now() + waitMs, resolve)
      void this.intake.drain().then(() => {
        disarm()
        resolve()
      })
    })
    this.responses.close()
    this.stopFollowing()
    await Promise.all([this.grpc.close(), this.http.close()])
    this.deliveries.close()
    this.intake.close()
    this.tls?.close()
  }
}
