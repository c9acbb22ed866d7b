/**
 * A host in this process, over a ledger that keeps nothing and devices that answer at once: its own
 * work and nothing else.
 */
import { hostedDevice } from '../../actors/device-effects/device-effects.ts'
import { Host } from '../../actors/runtime/host/host.ts'
import { systemClock } from '../../core/ports/clock.ts'
import { silentLog } from '../../core/ports/log.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { systemRandom } from '../../core/ports/random.ts'
import { SimBus } from '../../core/ports/sim/bus.ts'
import type { PartitionStore } from '../../core/ports/store.ts'
import { BenchWan } from './bench-wan.ts'
import { partitionCount } from './settings.ts'
import { VoidLedger } from './void-ledger.ts'

export const localHostId = 'local'

export function localHost(openStore: (partition: number) => PartitionStore): {
  host: Host
  bus: SimBus
  ledger: VoidLedger
} {
  const ledger = new VoidLedger()
  const bus = new SimBus({ clock: systemClock })
  const ports = {
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    metrics: noMetrics,
  }
  const host = new Host({
    hostId: localHostId,
    partitionCount,
    ledger,
    bus,
    ...ports,
    kinds: [hostedDevice({ ...ports, wan: new BenchWan() })],
    checkpointIntervalMs: 5_000,
    openStore,
    mayTakeFrom: () => true,
    actorsAwakeMax: 100_000,
    actorIdleMs: 3_600_000,
    onFault: (fault) => {
      throw fault
    },
  })
  return { host, bus, ledger }
}
