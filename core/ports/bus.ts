/**
 * Frames between gateways and hosts, and short announcements to everybody. Twins: core/bus (NATS)
 * and core/ports/sim/bus.
 */
export interface Bus {
  /**
   * Sends a frame to the one who serves `subject` and settles with the frame that comes back
   * (borrowed from the socket's chunk). Rejects with BrokerError BROKER_PARTITION_UNAVAILABLE when
   * nobody serves it or nothing came within `timeoutMs`.
   */
  request(subject: string, frame: Uint8Array, timeoutMs: number): Promise<Buffer>
  /**
   * Answers frames on `subject` until closed; `frame` is borrowed until `reply` is called, which
   * must happen once, at any later time.
   */
  serve(
    subject: string,
    onFrame: (frame: Buffer, reply: (frame: Uint8Array) => void) => void,
  ): Promise<{ close(): Promise<void> }>
  /** Tells everybody who listens now; nobody keeps it. */
  announce(subject: string, data: Uint8Array): void
  listen(subject: string, onData: (data: Buffer) => void): Promise<{ close(): Promise<void> }>
}

/** Who owns which partition, as the ledger's leases say; followed by gateways. */
export interface OwnerDirectory {
  readonly partitionCount: number
  /** The host id, or undefined while nobody owns it. */
  ownerOf(partition: number): string | undefined
  /** Settles when the owner of `partition` has changed from `was`, or after `timeoutMs`. */
  changed(partition: number, was: string | undefined, timeoutMs: number): Promise<void>
}

/** The subject on which a host answers frames of envelopes for its partitions. */
export const hostSubject = (hostId: string): string => `host.${hostId}`
/**
 * Where a host takes what devices say by themselves, and nothing else: processes that reach devices
 * may send it there, and may hand in no request.
 */
export const pushSubject = (hostId: string): string => `host-push.${hostId}`
