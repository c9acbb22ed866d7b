/** What is called flat and what is called growing, on series whose answer is known. */
import t from 'tap'
import { seededRandom } from '../../core/ports/random.ts'
import { judge, judgedSamplesMin, mannKendall, theilSenSlope } from './flatness.ts'

const bound = { share: 0.05, least: 3 }
const series = <T>(length: number, value: (index: number) => T): T[] =>
  Array.from({ length }, (_, index) => value(index))

t.test('slope and trend', async (t) => {
  t.equal(theilSenSlope([1, 3, 5, 7]), 2)
  t.equal(theilSenSlope([1, 3, 5, 700, 9, 11]), 2, 'one far off does not count')
  t.equal(mannKendall([4, 4, 4, 4]), 0)
  // 28 pairs that rise, variance 8 × 7 × 21 / 18.
  t.equal(mannKendall(series(8, (i) => i)), 27 / Math.sqrt((8 * 7 * 21) / 18))
  t.equal(mannKendall(series(8, (i) => -i)), -27 / Math.sqrt((8 * 7 * 21) / 18))
  // Two pairs of equals, of four: 4 × 3 × 13 − 2 × 2 × 1 × 9, of which 18 are one.
  t.equal(mannKendall([1, 1, 2, 2]), 3 / Math.sqrt((4 * 3 * 13 - 2 * (2 * 1 * 9)) / 18))
})

t.test('flat: noise, a step at the start, a saw, single peaks, a fall', async (t) => {
  const random = seededRandom(1)
  const noisy = series(2_000, () => series(120, () => 100 + 20 * random.fraction()))
  const wrong = noisy.filter((values) => !judge(values, bound).isFlat)
  t.ok(wrong.length <= 4, `noise: ${wrong.length} of 2,000 are called growing, 2 are expected`)
  t.ok(
    judge(
      series(40, (i) => (i < 15 ? 50 + i : 100)),
      bound,
    ).isFlat,
    'it fills up, then stays',
  )
  t.ok(
    judge(
      series(120, (i) => 50 + (i % 7) * 10),
      bound,
    ).isFlat,
    'a saw',
  )
  t.ok(
    judge(
      series(120, (i) => (i % 10 === 9 ? 1_000 : 100)),
      bound,
    ).isFlat,
    'peaks',
  )
  t.ok(
    judge(
      series(40, (i) => 200 - i),
      bound,
    ).isFlat,
    'it falls',
  )
  t.ok(
    judge(
      series(40, (i) => 100 + i * 0.1),
      bound,
    ).isFlat,
    'less than is allowed',
  )
})

t.test('growing: a leak, also under noise, and in the fewest samples', async (t) => {
  t.notOk(
    judge(
      series(2 * judgedSamplesMin, (i) => 100 + i),
      bound,
    ).isFlat,
  )
  const random = seededRandom(1)
  const leaking = series(200, () => series(120, (i) => 100 + i / 3 + 10 * random.fraction()))
  t.same(
    leaking.filter((values) => judge(values, bound).isFlat),
    [],
    'leaks of 20 % in each half',
  )
  const { level, growth, allowed } = judge(
    series(40, (i) => 100 + i),
    bound,
  )
  t.same([level, growth, allowed], [129.5, 19, 129.5 * 0.05])
  t.equal(
    judge([...series(20, () => 0), ...series(20, () => 10)], { share: 0.5, least: 1 }).allowed,
    5,
  )
  t.throws(
    () =>
      judge(
        series(15, () => 1),
        bound,
      ),
    /16 are needed/,
  )
})
