/**
 * The folder of operators that `--operators` names, the folder `operators` of the data directory
 * when it names none:
 *
 *   operators            who they are: names, roles, hashes of tokens (core/access/operators.ts)
 *   development.token    the token of the operator for development, made at the first start of a
 *                        broker that was given no folder; commands on this machine find it
 *
 * Every file is its owner's alone, and is replaced as a whole.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  formatOperators,
  isOperatorName,
  parseOperators,
  tokenHashOf,
  type ListedOperator,
  type Operators,
} from '../access/operators.ts'
import type { OperatorRole } from '../access/operator-rules.ts'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import { writePrivateFile } from './embedded-nats/nats-settings.ts'

const listName = 'operators'
export const developmentName = 'development'

/** The folder of a broker that is given none. */
export const operatorsFolderIn = (dataDir: string): string => join(dataDir, 'operators')
const tokenPath = (folder: string, name: string): string => join(folder, `${name}.token`)
/** Where a command on the machine of the broker finds a token that it was not given. */
export const developmentTokenPath = (dataDir: string): string =>
  tokenPath(operatorsFolderIn(dataDir), developmentName)

/** The text of the list, undefined without one. @throws BrokerError OPERATORS_FILE_INVALID */
function listText(folder: string): string | undefined {
  try {
    return readFileSync(join(folder, listName), 'utf8')
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    const why = `${join(folder, listName)} cannot be read (${code})`
    throw new BrokerError('OPERATORS_FILE_INVALID', why, { cause })
  }
}

/** @throws BrokerError OPERATORS_FILE_INVALID when the list is missing or cannot be understood */
export function readOperators(folder: string): Operators {
  const text = listText(folder)
  const path = join(folder, listName)
  if (text === undefined) throw new BrokerError('OPERATORS_FILE_INVALID', `${path} is missing`)
  return parsed(path, text)
}

function parsed(path: string, text: string): Operators {
  try {
    return parseOperators(text)
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    throw new BrokerError('OPERATORS_FILE_INVALID', `${path}: ${fault.message}`)
  }
}

/** Runs `change` while no other command changes the folder, which is made when it is missing. */
function changed(folder: string, change: (operators: Map<string, ListedOperator>) => void): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lock = join(folder, '.lock')
  try {
    closeSync(openSync(lock, 'wx', 0o600))
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException
    const why = code === 'EEXIST' ? 'another command changes the folder' : code
    throw new BrokerError(
      'OPERATORS_FILE_INVALID',
      `${lock} cannot be made: ${why}; remove it when no command runs`,
      { cause },
    )
  }
  try {
    const path = join(folder, listName)
    const operators = new Map(parsed(path, listText(folder) ?? ''))
    change(operators)
    writePrivateFile(path, formatOperators(operators))
  } finally {
    rmSync(lock, { force: true })
  }
}

export type TokenWanted = {
  readonly name: string
  readonly role: OperatorRole
  /** The operator is there already and gets another token, or another role. */
  readonly isRenewal: boolean
  /** Where the token goes; mode 600. */
  readonly tokenFile: string
}

/**
 * Adds an operator with a new token, or replaces the token of one. The token stands in its file
 * alone; the list has its hash.
 * @throws BrokerError OPERATORS_FILE_INVALID, OPERATOR_NAME_TAKEN
 */
export function issueToken(folder: string, wanted: TokenWanted, random: Random): void {
  const { name, role, isRenewal, tokenFile } = wanted
  if (!isOperatorName(name))
    throw new BrokerError(
      'OPERATORS_FILE_INVALID',
      'a name is up to 64 letters, digits and . @ _ -, and begins with a letter or a digit',
    )
  const token = Buffer.from(random.bytes(limits.operatorTokenBytes)).toString('base64url')
  changed(folder, (operators) => {
    if (operators.has(name) && !isRenewal) throw new BrokerError('OPERATOR_NAME_TAKEN', name)
    operators.set(name, { name, role, tokenHash: tokenHashOf(token) })
    // Before the list: a token that the list knows and nobody has would be of no use.
    writePrivateFile(tokenFile, `${token}\n`)
  })
}

/** @throws BrokerError OPERATOR_UNKNOWN, OPERATORS_FILE_INVALID */
export function removeOperator(folder: string, name: string): void {
  changed(folder, (operators) => {
    if (!operators.delete(name)) throw new BrokerError('OPERATOR_UNKNOWN', name)
  })
}

/** Makes the operator for development, once; whether it was made now. */
export function ensureDevelopmentOperator(folder: string, random: Random): boolean {
  if (listText(folder) !== undefined) return false
  const tokenFile = tokenPath(folder, developmentName)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const wanted = { name: developmentName, role: 'security-officer', isRenewal: true } as const
  issueToken(folder, { ...wanted, tokenFile }, random)
  return true
}

/** The token in a file. @throws BrokerError OPERATORS_FILE_INVALID when it cannot be read */
export function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException
    throw new BrokerError('OPERATORS_FILE_INVALID', `${path} cannot be read (${code})`, { cause })
  }
}

/** The operators of a running door: read again whenever the list has changed. */
export class OperatorsWatch {
  current: Operators
  /** Why the list is not used as it is now; undefined while it is. */
  trouble: string | undefined
  private readonly folder: string
  private readonly clock: Clock
  private readonly log: Log
  private text: string | undefined
  private disarm: () => void = () => undefined

  /** @throws BrokerError OPERATORS_FILE_INVALID */
  constructor(folder: string, { clock, log }: { clock: Clock; log: Log }) {
    this.folder = folder
    this.clock = clock
    this.log = log
    this.text = listText(folder)
    this.current = readOperators(folder)
    this.arm()
  }

  close(): void {
    this.disarm()
  }

  private arm(): void {
    this.disarm = this.clock.at(this.clock.now() + limits.certificateLookMs, () => {
      this.look()
      this.arm()
    })
  }

  private look(): void {
    try {
      const text = listText(this.folder)
      if (text === this.text) return
      this.text = text
      this.current = readOperators(this.folder)
      this.trouble = undefined
      this.log.info({ operators: this.current.size }, 'the list of operators was read again')
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      if (this.trouble === fault.message) return
      this.trouble = fault.message
      this.log.error({ fault: fault.message }, 'the list of operators is not used as it is now')
    }
  }
}
