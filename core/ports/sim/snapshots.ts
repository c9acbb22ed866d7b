/** Snapshots in memory, whole or not at all. */
import { BrokerError } from '../../base/broker-error.ts'
import type { SnapshotStore } from '../snapshot.ts'

export class SimSnapshotStore implements SnapshotStore {
  private readonly objects = new Map<string, Buffer>()
  /** Asked each time; true makes an operation fail as an unreachable server does. */
  private readonly onUse: () => boolean

  constructor(onUse: () => boolean = () => false) {
    this.onUse = onUse
  }

  async put(name: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Buffer[] = []
    for await (const chunk of chunks) parts.push(Buffer.from(chunk))
    this.use()
    this.objects.set(name, Buffer.concat(parts))
  }

  async get(name: string, onChunk: (chunk: Uint8Array) => Promise<void>): Promise<void> {
    this.use()
    const found = this.objects.get(name)
    if (found === undefined) throw new BrokerError('SNAPSHOT_DAMAGED', `${name} is not there`)
    await onChunk(found)
  }

  async remove(name: string): Promise<void> {
    this.use()
    this.objects.delete(name)
  }

  async names(): Promise<string[]> {
    this.use()
    return [...this.objects.keys()]
  }

  private use(): void {
    if (this.onUse())
      throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'asked for by the simulation')
  }
}
