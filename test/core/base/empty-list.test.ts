/** A list that is emptied again and again. */
import t from 'tap'
import { emptyList } from '../../../core/base/empty-list.ts'

t.test('it has no items, and takes new ones in order', (t) => {
  const list: number[] = []
  emptyList(list)
  t.same(list, [])
  for (const count of [1, 3, 20, 1_000, 2]) {
    for (let i = 0; i < count; i++) list.push(i)
    t.equal(list.at(-1), count - 1)
    emptyList(list)
    t.same(list, [])
  }
  t.end()
})
