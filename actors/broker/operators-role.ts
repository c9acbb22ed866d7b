/**
 * The operators' door: inventory, counters and views over HTTP, metrics, and whether this process
 * is ready.
 */
import type { DeviceEntry } from '../../core/inventory/device-record.ts'
import { isLoopbackAddress } from '../../core/base/loopback.ts'
import { OperatorGate } from '../../core/ops/operator-gate.ts'
import { ensureDevelopmentOperator, OperatorsWatch } from '../../core/ops/operators-folder.ts'
import { startOpsServer, type OpsServer } from '../../core/ops/server.ts'
import type { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import type { LocalStores } from '../../core/store/local-stores.ts'
import type { Host } from '../runtime/host/host.ts'
import { addAccessRoutes } from './access-door.ts'
import { addApprovalRoutes, TwoPersons } from './approvals-door.ts'
import { addCounterRoutes } from './counters-door.ts'
import { addDeviceRoutes } from './device-door.ts'
import type { DiskGuard } from './disk-guard.ts'
import { addExplainRoutes, type Explainer } from './explain-door.ts'
import type { GatewayRole } from './gateway-role.ts'
import type { OpenedLedger } from './ledger-role.ts'
import { addConsentRoutes } from './consent-door.ts'
import { addMeterPointRoutes } from './meter-point-door.ts'
import { addScheduleRoutes } from './schedule-door.ts'
import { addPartyRoutes } from './party-door.ts'
import { addThresholdRoutes } from './threshold-door.ts'
import { deliveryTrouble, partitionTrouble, type LedgerWatch } from './readiness.ts'
import type { startReplicas } from './replicas-role.ts'
import type { RegistrationResult } from './registration.ts'
import { addSourceRoutes } from './source-door.ts'
import { addStatusFileRoute } from './status-file-door.ts'
import type { SourcesRole } from './sources-role.ts'
import type { StartContext } from './start-context.ts'
import { addMissingViewsRoutes, type ViewsRole } from './views-role.ts'
import type { WanWay } from './wan-role.ts'

/** What has been started; undefined for a role that this process does not have. */
export type Started = {
  opened: OpenedLedger
  parties: DirectoryReader
  way: WanWay | undefined
  host: Host | undefined
  stores: LocalStores | undefined
  gateway: GatewayRole | undefined
  views: ViewsRole | undefined
  replicas: Awaited<ReturnType<typeof startReplicas>>
  watch: LedgerWatch
  disks: DiskGuard
  explainer: Explainer
  register: (entries: readonly DeviceEntry[]) => Promise<RegistrationResult>
  sources: SourcesRole
}

/** Who may call. */
function startGate({ config, clock, random, log, metrics, closers }: StartContext): {
  gate: OperatorGate
  watch: OperatorsWatch | undefined
} {
  const isLoopback = isLoopbackAddress(config.ops.host)
  if (config.operators === undefined) {
    log.warn(
      {},
      "the operators' door has no authentication: everybody on this machine can do everything there (--insecure-operators)",
    )
    return {
      gate: new OperatorGate({ operators: undefined, isLoopback, clock, log, metrics }),
      watch: undefined,
    }
  }
  const { folder, isDevelopment } = config.operators
  if (isDevelopment && ensureDevelopmentOperator(folder, random))
    log.warn(
      { folder },
      "made an operator for development: a reader of that folder can do everything at the operators' door. In production make operators with `busbar operators token`, and name their folder with --operators",
    )
  const watch = new OperatorsWatch(folder, { clock, log })
  closers.push(() => watch.close())
  const operators = () => watch.current
  return { gate: new OperatorGate({ operators, isLoopback, clock, log, metrics }), watch }
}

export async function startOperatorsDoor(
  context: StartContext,
  started: Started,
): Promise<OpsServer> {
  const { config, hostId, clock, log, metrics, closers } = context
  const { opened, parties, way, host, stores, gateway, views, replicas, watch, disks } = started
  const { register, sources, explainer } = started
  const { bus, owners, ledger } = opened
  const { gate, watch: operators } = startGate(context)
  const isSingle = config.operators?.isDevelopment !== false
  if (isSingle)
    log.warn(
      {},
      'one operator is enough for every act that cannot be undone: that is for development (--operators)',
    )
  const persons = new TwoPersons({ ledger, clock, random: context.random }, isSingle)
  const ops = await startOpsServer({
    listen: config.ops,
    metrics,
    log,
    gate,
    site: config.site,
    routes: (app) => {
      addDeviceRoutes(app, { bus, directory: owners, clock }, register, persons)
      addApprovalRoutes(app, persons)
      addCounterRoutes(app, { bus, directory: owners, clock })
      addAccessRoutes(app, { bus, directory: owners, clock }, parties, config.registration.ageMsMax)
      addExplainRoutes(app, explainer)
      addMeterPointRoutes(app, { bus, directory: owners, clock })
      addScheduleRoutes(app, { bus, directory: owners, clock })
      addSourceRoutes(app, {
        ...{ files: sources.files, kept: sources.kept, reader: parties, clock, keeper: hostId },
        shortage: () => disks.shortage,
      })
      addStatusFileRoute(app, { bus, directory: owners, clock }, views)
      addConsentRoutes(app, { bus, directory: owners, clock })
      addPartyRoutes(app, { bus, directory: owners, clock }, parties, persons)
      addThresholdRoutes(app, { bus, directory: owners, clock }, parties, persons)
      persons.expectEvery()
      if (views === undefined) addMissingViewsRoutes(app)
      else views.routes(app)
    },
  })
  closers.push(() => ops.close())
  metrics.gauge('busbar_ready', '1 while every readiness check passes', () =>
    ops.reasons().length === 0 ? 1 : 0,
  )
  replicas.addTo(ops)
  ops.addCheck('partitions', () => partitionTrouble(owners, host && hostId, host?.owned))
  ops.addCheck('ledger', () => watch.trouble)
  ops.addCheck(
    'deliveries',
    () => gateway && deliveryTrouble(watch.lastSequence, gateway.feed.sequence),
  )
  ops.addCheck('directory', () => parties.trouble)
  ops.addCheck('host', () => host?.trouble)
  disks.tell(ops)
  sources.tell(ops)
  ops.addDegradation('certificates', () => gateway?.certificateTrouble())
  ops.addDegradation('operators', () => operators?.trouble)
  ops.addDegradation('store', () => stores?.trouble)
  ops.addDegradation('letters', () => host?.lettersTrouble)
  ops.addCheck('wan', () => way?.trouble())
  ops.addCheck('views', () => views?.trouble)
  ops.addCheck('nats', () => (ledger.isConnected ? undefined : 'no connection to nats-server'))
  return ops
}
