/**
 * Operators, and how a token names one. Pure. A token is 32 octets of chance as base64url; what is
 * kept is its SHA-256 alone. A fast hash is enough: nobody can guess 32 octets.
 *
 * The list is text, one operator a line, `#` before a comment:
 *
 *   NAME ROLE SHA-256 of the token in hexadecimal, or - for one with a certificate alone
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { digest, sameSecret } from '../crypto/crypto.ts'
import { OperatorRole } from './operator-rules.ts'

/** Who acts at the operators' door. */
export type Operator = {
  readonly name: string
  readonly role: OperatorRole
  /** False at a door without authentication: the caller says who acts. */
  readonly isProven: boolean
}

/** An operator as the list has it. */
export type ListedOperator = {
  readonly name: string
  readonly role: OperatorRole
  /** Hexadecimal. */
  readonly tokenHash: string | undefined
}

export type Operators = ReadonlyMap<string, ListedOperator>

/** Letters, digits and `.@_-`: never a bracket, which stands around what a caller only says. */
export const isOperatorName = (text: string): boolean => /^[A-Za-z0-9][\w.@-]{0,63}$/.test(text)

const tokenForm = /^[\w-]{43}$/
const hashForm = /^[0-9a-f]{64}$/

export const tokenHashOf = (token: string): string =>
  digest('sha256', Buffer.from(token, 'utf8')).toString('hex')

/** @throws BrokerError OPERATORS_FILE_INVALID naming the line and never its content */
export function parseOperators(text: string): Operators {
  const operators = new Map<string, ListedOperator>()
  const invalid = (index: number, why: string): BrokerError =>
    new BrokerError('OPERATORS_FILE_INVALID', `line ${index + 1} ${why}`)
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [name = '', role = '', hash = '', ...rest] = line.trim().split(/\s+/)
    const known = OperatorRole.find((one) => one === role)
    if (!isOperatorName(name) || known === undefined || rest.length > 0)
      throw invalid(index, `is not NAME ROLE HASH with one of ${OperatorRole.join(', ')}`)
    if (hash !== '-' && !hashForm.test(hash)) throw invalid(index, 'has no SHA-256, and no -')
    if (operators.has(name)) throw invalid(index, 'names an operator a second time')
    operators.set(name, { name, role: known, tokenHash: hash === '-' ? undefined : hash })
    if (operators.size > limits.operatorsMax)
      throw invalid(index, `is one of more than ${limits.operatorsMax} operators`)
  }
  return operators
}

/** The text that `parseOperators` reads. */
export const formatOperators = (operators: Operators): string =>
  [
    '# Operators of this Busbar, made by `busbar operators`: NAME ROLE SHA-256-OF-TOKEN',
    ...Array.from(
      operators.values(),
      ({ name, role, tokenHash = '-' }) => `${name} ${role} ${tokenHash}`,
    ),
    '',
  ].join('\n')

/**
 * Whose token it is; undefined for nobody's. Compares with every hash, each in constant time, so
 * that the time says nothing about which one was near.
 */
export function operatorOfToken(operators: Operators, token: string): Operator | undefined {
  const given = Buffer.from(tokenHashOf(tokenForm.test(token) ? token : ''), 'hex')
  let found: Operator | undefined
  for (const { name, role, tokenHash } of operators.values()) {
    if (tokenHash === undefined) continue
    if (sameSecret(given, Buffer.from(tokenHash, 'hex'))) found = { name, role, isProven: true }
  }
  return found
}

/**
 * How the ledger names who acts. A proven operator is named by the credentials; what the caller
 * says besides stands in brackets, which no name has. At a door without authentication there is
 * only what the caller says.
 * @throws BrokerError VIEW_QUERY_INVALID when `said` is not text of the length that may be kept, or
 * missing where nothing else names anybody
 */
export function actingName({ name, isProven }: Operator, said: unknown, what: string): string {
  if (isProven && (said === undefined || said === '' || said === name)) return name
  const text = typeof said === 'string' ? (isProven ? `${name} (${said})` : said) : ''
  if (text === '' || Buffer.byteLength(text) > limits.operatorNameBytesMax)
    throw new BrokerError(
      'VIEW_QUERY_INVALID',
      `by must say who ${what}, in ${limits.operatorNameBytesMax} octets`,
    )
  return text
}
