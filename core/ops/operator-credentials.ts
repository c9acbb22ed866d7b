/**
 * With what a command calls an operators' door. The settings file and the options of a command put
 * their values into the environment, where they are found here:
 *
 *   1. the token in the file BUSBAR_OPERATOR_TOKEN_FILE, which must be there when it is named
 *   2. the token for development in the data directory, for a door on this machine
 */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { isLoopbackHost } from '../base/loopback.ts'
import { developmentTokenPath, readToken } from './operators-folder.ts'
import { settings } from './settings.ts'

export const tokenFileVariable = 'BUSBAR_OPERATOR_TOKEN_FILE'

/**
 * Headers of a call to the door at `host`; none when there is no token, which the door says. The
 * token for development goes nowhere but to this machine.
 * @throws BrokerError OPERATORS_FILE_INVALID
 */
export function operatorHeaders(
  host: string,
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const given = env[tokenFileVariable]
  if (given) return headersOf(readToken(resolve(given)))
  if (!isLoopbackHost(host)) return {}
  // A process that joins another one has its operators.
  const dataDir = env[settings.join.env] || env[settings.dataDir.env] || settings.dataDir.default
  const path = developmentTokenPath(resolve(dataDir))
  return existsSync(path) ? headersOf(readToken(path)) : {}
}

const headersOf = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
