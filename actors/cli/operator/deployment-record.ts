/** The record of the deployment on the ledger, for the commands that read and change it. */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { formatWithMeterPoints } from '../../../core/cluster/format.ts'
import {
  decodeDeployment,
  encodeDeployment,
  type Deployment,
} from '../../../core/ledger/identity.ts'
import { deploymentSubject } from '../../../core/ledger/opening.ts'
import type { Ledger } from '../../../core/ports/ledger.ts'

export type DeploymentLedger = Pick<Ledger, 'lastOn' | 'commit'>

/** @throws BrokerError LEDGER_DEPLOYMENT_MISMATCH when the ledger has none */
export async function deploymentOf(
  ledger: DeploymentLedger,
): Promise<{ deployment: Deployment; sequence: number }> {
  const found = await ledger.lastOn(deploymentSubject)
  if (found === undefined)
    throw new BrokerError('LEDGER_DEPLOYMENT_MISMATCH', 'there is no deployment')
  return { deployment: decodeDeployment(found.data), sequence: found.sequence }
}

/**
 * Replaces the record by what `change` makes of it, and settles with that. Nothing is written when
 * another operator was faster.
 * @throws BrokerError BROKER_LEDGER_UNAVAILABLE
 */
export async function changeDeployment(
  ledger: DeploymentLedger,
  change: (before: Deployment) => Deployment,
): Promise<Deployment> {
  const { deployment, sequence } = await deploymentOf(ledger)
  const after = change(deployment)
  const outcome = await ledger.commit([
    {
      subject: deploymentSubject,
      data: encodeDeployment(after),
      expect: { subject: deploymentSubject, sequence },
    },
  ])
  if (outcome.refused !== undefined)
    throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', `${outcome.refused}: ${outcome.detail}`)
  return after
}

/**
 * Whether devices without meter points take requests; changed first when `isNeeded` is given.
 * @throws BrokerError FORMAT_NOT_RAISED
 */
export async function meterPointsNeeded(
  ledger: DeploymentLedger,
  isNeeded?: boolean,
): Promise<boolean> {
  const { deployment } = await deploymentOf(ledger)
  const { format, needsMeterPoints = false } = deployment
  if (isNeeded === undefined || isNeeded === needsMeterPoints) return needsMeterPoints
  if (format < formatWithMeterPoints)
    throw new BrokerError('FORMAT_NOT_RAISED', `the deployment writes format ${format}`)
  await changeDeployment(ledger, (before) => ({ ...before, needsMeterPoints: isNeeded }))
  return isNeeded
}
