/** Places of a door: who gets in, and who makes way. */
import t from 'tap'
import { ConnectionPlaces } from '../../../core/base/connection-places.ts'

const limits = {
  connectionsMax: 6,
  perAddressMax: 4,
  unprovenMax: 5,
  unprovenPerAddressMax: 3,
}

t.test('the oldest unproven connection of the same address makes way', (t) => {
  const places = new ConnectionPlaces<string>(limits)
  for (const name of ['a1', 'a2', 'a3'])
    t.same(places.admit(name, 'a'), { isAdmitted: true, evicted: undefined })
  t.same(places.admit('a4', 'a'), { isAdmitted: true, evicted: 'a1' })
  places.prove('a2')
  t.same(places.admit('a5', 'a'), { isAdmitted: true, evicted: undefined })
  t.same(places.admit('a6', 'a'), { isAdmitted: true, evicted: 'a3' }, 'a2 is proven')
  t.equal(places.count, 4)
  t.end()
})

t.test('a proven connection never makes way', (t) => {
  const places = new ConnectionPlaces<string>(limits)
  for (const name of ['a1', 'a2', 'a3', 'a4']) {
    places.admit(name, 'a')
    places.prove(name)
  }
  t.same(places.admit('a5', 'a'), { isAdmitted: false, evicted: undefined })
  t.same(places.admit('b1', 'b'), { isAdmitted: true, evicted: undefined })
  places.prove('b1')
  places.admit('b2', 'b')
  t.same(places.admit('c1', 'c'), { isAdmitted: true, evicted: 'b2' }, 'the door is full')
  places.prove('c1')
  t.same(places.admit('d1', 'd'), { isAdmitted: false, evicted: undefined })
  t.ok(places.isProven('a1'))
  places.release('a1')
  places.release('a1')
  t.notOk(places.isProven('a1'))
  t.same(places.admit('d1', 'd'), { isAdmitted: true, evicted: undefined })
  t.end()
})

t.test('where the door is full, the address with most unproven connections loses one', (t) => {
  const places = new ConnectionPlaces<string>(limits)
  places.admit('honest', 'h')
  for (const name of ['a1', 'a2', 'a3']) places.admit(name, 'a')
  places.admit('b1', 'b')
  t.equal(places.unprovenCount, 5)
  t.same(places.admit('c1', 'c'), { isAdmitted: true, evicted: 'a1' })
  t.same(places.admit('d1', 'd'), { isAdmitted: true, evicted: 'a2' })
  t.end()
})
