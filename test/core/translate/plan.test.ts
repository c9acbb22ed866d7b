/** Lists of operations are arrays of one kind for the engine, compiled or not: see operationsOf. */
import { setFlagsFromString } from 'node:v8'
import t from 'tap'
import { serviceRequestOf } from '../../../core/catalogue/service-requests.ts'
import { parseSrv } from '../../../core/base/srv.ts'
import { commandOf } from '../../../core/translate/command.ts'
import { operationsOf } from '../../../core/translate/plan.ts'

// What the engine knows of a function or an array; the words exist only while they are compiled.
setFlagsFromString('--allow-natives-syntax')
type Native = <T>(value: T) => unknown
// oxlint-disable-next-line typescript/no-implied-eval -- there is no other way to these words
const native = (name: string): Native => new Function('value', `return %${name}(value)`) as Native
const isHoley = native('HasHoleyElements')
const prepare = native('PrepareFunctionForOptimization')
const optimizeNext = native('OptimizeFunctionOnNextCall')

t.test('a list of operations stays the same kind of array when its maker is compiled', (t) => {
  const constant = serviceRequestOf(parseSrv('4.1.1'))!
  const dated = serviceRequestOf(parseSrv('6.11'))!
  const setTime = () => commandOf(dated, Buffer.alloc(0), 1_790_000_000_000, 'ESME')
  const isFirstHoley = isHoley(commandOf(constant, Buffer.alloc(0), 0, 'ESME'))
  t.equal(isFirstHoley, false)
  for (const maker of [commandOf, operationsOf]) prepare(maker)
  for (let i = 0; i < 20; i++) t.equal(isHoley(setTime()), isFirstHoley)
  for (const maker of [operationsOf, commandOf]) optimizeNext(maker)
  for (let i = 0; i < 20; i++) t.equal(isHoley(setTime()), isFirstHoley, 'compiled')
  t.end()
})
