/**
 * `busbar cluster format`: what the processes of a deployment may write to the ledger, which each
 * of them reads, and the step to a newer one.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { aliveSubject, wanAliveSubject } from '../../../core/cluster/alive.ts'
import { formatLatest } from '../../../core/cluster/format.ts'
import { decodePresence, presenceSubject, type Presence } from '../../../core/cluster/presence.ts'
import type { Bus } from '../../../core/ports/bus.ts'
import { pause, type Clock } from '../../../core/ports/clock.ts'
import { tableOf } from '../table.ts'
import { changeDeployment, deploymentOf, type DeploymentLedger } from './deployment-record.ts'

export type FormatStatus = {
  /** Of the deployment: what may be written. */
  format: number
  /** What this version can write. */
  latest: number
  processes: Presence[]
  /** Processes of a version that says nothing of formats: they read the first alone. */
  older: string[]
}

export type FormatPorts = { ledger: DeploymentLedger; bus: Bus; clock: Clock }

/** Listens for as long as it takes every process to say that it is there. */
export async function formatStatus({ ledger, bus, clock }: FormatPorts): Promise<FormatStatus> {
  const present = new Map<string, Presence>()
  const alive = new Set<string>()
  const hear = (data: Buffer): unknown => alive.add(data.toString('latin1'))
  const listening = await Promise.all([
    bus.listen(aliveSubject('*'), hear),
    // A wan process adds a name of its life to that of the process.
    bus.listen(wanAliveSubject('*'), (data) => hear(data.subarray(0, data.lastIndexOf('-')))),
    bus.listen(presenceSubject('*'), (data) => {
      const presence = decodePresence(data)
      if (presence !== undefined && present.size < limits.hostsMax)
        present.set(presence.processId, presence)
    }),
  ])
  await pause(clock, limits.aliveIntervalMs * 1.25)
  await Promise.all(listening.map((one) => one.close()))
  const { format } = (await deploymentOf(ledger)).deployment
  return {
    format,
    latest: formatLatest,
    processes: [...present.values()].sort((a, b) => (a.processId < b.processId ? -1 : 1)),
    older: [...alive].filter((id) => !present.has(id)).sort(),
  }
}

/**
 * Lets all processes write the latest format from now on.
 * @throws BrokerError FORMAT_NOT_READ when one of them does not read it
 */
export async function raiseFormat(ports: FormatPorts): Promise<FormatStatus> {
  const status = await formatStatus(ports)
  if (status.format >= formatLatest) return status
  const behind = [
    ...status.older,
    ...status.processes.filter(({ reads }) => reads < formatLatest).map((one) => one.processId),
  ]
  if (behind.length > 0)
    throw new BrokerError('FORMAT_NOT_READ', `format ${formatLatest}: ${behind.join(', ')}`)
  await changeDeployment(ports.ledger, (before) => ({ ...before, format: formatLatest }))
  return { ...status, format: formatLatest }
}

export function formatLines({ format, latest, processes, older }: FormatStatus): string[] {
  const rows = processes.map(({ processId, roles, version, reads }) => [
    processId,
    roles.join(),
    version,
    reads,
  ])
  const newer = format < latest ? `; this version can write ${latest}: --raise` : ''
  return [
    `the deployment writes format ${format}${newer}`,
    ...tableOf([['process', 'roles', 'version', 'reads'], ...rows]),
    ...older.map((id) => `${id}  of a version before formats, reads 1`),
  ]
}
