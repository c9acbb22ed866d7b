/** When the next attempt at a request comes. */
import fc from 'fast-check'
import t from 'tap'
import { retryDelayMs } from '../../actors/device/clock-set.ts'
import type { OpenRequest } from '../../actors/device/state.ts'
import { limits } from '../../core/base/limits.ts'

const requestOf = (contentHash: number, acceptedAt: number): OpenRequest =>
  ({ contentHash, acceptedAt }) as OpenRequest
const plannedMs = (attempt: number): number =>
  Math.min(limits.retryDelayMs * 2 ** (attempt - 1), limits.retryDelayMsMax)

t.test('property: it doubles, within a quarter, up to its limit; replay gives the same', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.integer({ min: 0, max: 2 ** 45 }),
      fc.integer({ min: 1, max: 40 }),
      (hash, acceptedAt, attempt) => {
        const delayMs = retryDelayMs(requestOf(hash, acceptedAt), attempt)
        const share = delayMs / plannedMs(attempt)
        return (
          share >= 0.749 &&
          share <= 1.251 &&
          delayMs === retryDelayMs(requestOf(hash, acceptedAt), attempt)
        )
      },
    ),
  )
  t.end()
})

t.test('requests of one moment are spread over the whole of it', (t) => {
  const now = 1_800_000_000_000
  const delays = Array.from({ length: 1_000 }, (_, i) =>
    retryDelayMs(requestOf(Math.imul(i, 0x9e37_79b1) >>> 0, now), 1),
  )
  const planned = plannedMs(1)
  t.ok(new Set(delays).size > 100, 'not all at once')
  t.ok(Math.min(...delays) < 0.8 * planned)
  t.ok(Math.max(...delays) > 1.2 * planned)
  t.end()
})
