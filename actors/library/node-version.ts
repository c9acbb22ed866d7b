/**
 * The Node that the package runs on. `engines` in package.json only makes npm warn; this refuses.
 */
import { BrokerError } from '../../core/base/broker-error.ts'

/** Major and minor version; package.json and core/ops/setup/busbar.mjs say the same. */
export const nodeVersionMin = [22, 12] as const

/** @throws BrokerError CONFIG_INVALID when `version` (`22.12.0`) is older than `nodeVersionMin` */
export function checkNodeVersion(version: string = process.versions.node): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [majorMin, minorMin] = nodeVersionMin
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return
  throw new BrokerError(
    'CONFIG_INVALID',
    `Node ${nodeVersionMin.join('.')} or newer is needed; this is ${version}`,
  )
}
