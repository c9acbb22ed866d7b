/** When the next attempt at a request comes, and whether there is one. */
import fc from 'fast-check'
import t from 'tap'
import { retryDelayMs } from '../../actors/device/clock-set.ts'
import type { OpenRequest } from '../../actors/device/state.ts'
import { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import { mayRepeat, retryDelaysOf } from '../../core/catalogue/retry-policy.ts'
import { Transport } from '../../core/ports/wan.ts'

const requestOf = (contentHash: number, acceptedAt: number, lane: Lane): OpenRequest =>
  ({ contentHash, acceptedAt, lane }) as OpenRequest
const lanes = Object.values(Lane)

t.test('property: it grows, within a quarter, up to its limit; replay gives the same', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.integer({ min: 0, max: 2 ** 45 }),
      fc.integer({ min: 1, max: limits.attemptsCountedMax }),
      fc.constantFrom(...lanes),
      fc.constantFrom(undefined, ...Transport),
      (hash, acceptedAt, attempt, lane, transport) => {
        const { firstMs, growth, longestMs } = retryDelaysOf(lane, transport)
        let plannedMs = firstMs
        for (let i = 1; i < attempt && plannedMs < longestMs; i++) plannedMs *= growth
        const request = requestOf(hash, acceptedAt, lane)
        const delayMs = retryDelayMs(request, transport, attempt)
        const share = delayMs / Math.min(plannedMs, longestMs)
        return (
          share >= 0.749 && share <= 1.251 && delayMs === retryDelayMs(request, transport, attempt)
        )
      },
    ),
  )
  t.end()
})

t.test('requests of one moment are spread over the whole of it', (t) => {
  const now = 1_800_000_000_000
  const delays = Array.from({ length: 1_000 }, (_, i) =>
    retryDelayMs(requestOf(Math.imul(i, 0x9e37_79b1) >>> 0, now, Lane.NORMAL), 'tcp', 1),
  )
  const planned = retryDelaysOf(Lane.NORMAL, 'tcp').firstMs
  t.ok(new Set(delays).size > 100, 'not all at once')
  t.ok(Math.min(...delays) < 0.8 * planned)
  t.ok(Math.max(...delays) > 1.2 * planned)
  t.end()
})

t.test('bulk work leaves more time to a device than what people wait for', (t) => {
  for (const transport of Transport) {
    const [urgent, normal, bulk] = lanes.map((lane) => retryDelaysOf(lane, transport))
    t.ok(urgent!.longestMs <= normal!.longestMs && normal!.longestMs <= bulk!.longestMs)
  }
  t.end()
})

t.test('what a device answers is not asked for until the deadline', (t) => {
  for (const attempt of [1, limits.attemptsMax, limits.attemptsCountedMax]) {
    t.ok(mayRepeat('DEVICE_UNREACHABLE', attempt))
    t.ok(mayRepeat('DEVICE_SILENT', attempt))
    t.equal(mayRepeat('DEVICE_ANSWER_INVALID', attempt), attempt < limits.attemptsMax)
    t.notOk(mayRepeat('OK', attempt))
  }
  t.end()
})
