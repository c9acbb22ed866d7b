/** Operators: the list as text, tokens, names in the ledger, and which role each route needs. */
import t from 'tap'
import fc from 'fast-check'
import {
  isRoleEnough,
  needOf,
  OperatorRole,
  operatorRoutes,
} from '../../../core/access/operator-rules.ts'
import {
  actingName,
  formatOperators,
  isOperatorName,
  operatorOfToken,
  parseOperators,
  tokenHashOf,
  type ListedOperator,
} from '../../../core/access/operators.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'

const token = 'a'.repeat(43)
const hash = tokenHashOf(token)

t.test('the list is read as it is written', async (t) => {
  const list: ListedOperator[] = [
    { name: 'ann', role: 'viewer', tokenHash: hash },
    { name: 'bob@example', role: 'security-officer', tokenHash: undefined },
  ]
  const operators = new Map(list.map((one) => [one.name, one]))
  t.same([...parseOperators(formatOperators(operators))], [...operators])
  t.same([...parseOperators(`# a comment\r\n\r\nann viewer ${hash}\r\n`)], [[...operators][0]])
})

t.test('a faulty line is named and not repeated', async (t) => {
  const faulty = [
    `ann admin ${hash}`,
    `ann viewer ${hash.slice(1)}`,
    `ann viewer ${hash} more`,
    `a(n) viewer ${hash}`,
    'ann viewer',
  ]
  for (const line of faulty) {
    t.throws(
      () => parseOperators(`bob viewer -\n${line}`),
      { code: 'OPERATORS_FILE_INVALID', message: /line 2 / },
      line,
    )
    t.throws(() => parseOperators(line), { message: /^(?!.*[0-9a-f]{60})/ })
  }
  t.throws(() => parseOperators('ann viewer -\nann operator -'), { message: /line 2 / })
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parseOperators(text)
        return true
      } catch (fault) {
        return fault instanceof BrokerError
      }
    }),
  )
})

t.test('a token names its operator and nobody else', async (t) => {
  const other = 'b'.repeat(43)
  const operators = parseOperators(
    `ann viewer ${hash}\nbob operator ${tokenHashOf(other)}\ncertificate-only viewer -`,
  )
  t.same(operatorOfToken(operators, token), { name: 'ann', role: 'viewer', isProven: true })
  t.match(operatorOfToken(operators, other), { name: 'bob', role: 'operator' })
  for (const wrong of ['', '-', hash, token.slice(1), `${token}a`, 'c'.repeat(43)])
    t.equal(operatorOfToken(operators, wrong), undefined, wrong)
})

t.test('nobody acts under the name of another one', async (t) => {
  const ann = { name: 'ann', role: 'operator', isProven: true } as const
  t.equal(actingName(ann, undefined, 'acts'), 'ann')
  t.equal(actingName(ann, 'ann', 'acts'), 'ann')
  t.equal(actingName(ann, 'bob', 'acts'), 'ann (bob)')
  t.throws(() => actingName(ann, 'x'.repeat(200), 'acts'), { code: 'VIEW_QUERY_INVALID' })
  t.throws(() => actingName(ann, 7, 'acts'), { code: 'VIEW_QUERY_INVALID' })
  const said = fc.string({ maxLength: 100 })
  fc.assert(
    fc.property(said, (text) => {
      const name = actingName(ann, text, 'acts')
      return name === 'ann' || (!isOperatorName(name) && name.startsWith('ann ('))
    }),
  )
  const unproven = { name: 'unproven', role: 'viewer', isProven: false } as const
  t.equal(actingName(unproven, 'bob', 'acts'), 'bob')
  t.throws(() => actingName(unproven, undefined, 'acts'), { code: 'VIEW_QUERY_INVALID' })
})

t.test('roles are in order, and every route is in the table once', async (t) => {
  for (const [index, role] of OperatorRole.entries())
    for (const [other, need] of OperatorRole.entries())
      t.equal(isRoleEnough(role, need), index >= other, `${role} for ${need}`)
  const keys = operatorRoutes.map(({ method, path }) => `${method} ${path}`)
  t.equal(new Set(keys).size, keys.length)
  t.equal(needOf('HEAD', '/v1/parties'), 'viewer', 'HEAD is as GET')
  t.equal(needOf('PUT', '/v1/parties'), undefined)
  for (const { method, path, need } of operatorRoutes)
    if (method !== 'GET') t.ok(OperatorRole.indexOf(need as OperatorRole) >= 1, `${method} ${path}`)
})
