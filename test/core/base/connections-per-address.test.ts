/**
 * Connections counted by address: the limits, and which addresses are taken for one. No sockets:
 * the tests of each door have those.
 */
import t from 'tap'
import { addressKey, ConnectionsPerAddress } from '../../../core/base/connections-per-address.ts'

t.test('connections are counted by address and for the door', (t) => {
  const connections = new ConnectionsPerAddress({ address: 2, door: 3 })
  t.equal(connections.add('192.0.2.1'), undefined)
  t.equal(connections.add('::ffff:192.0.2.1'), undefined)
  t.equal(connections.add('192.0.2.1'), 'address')
  t.equal(connections.openFrom('192.0.2.1'), 2, 'the rejected one is not counted')
  t.equal(connections.add('192.0.2.2'), undefined)
  t.equal(connections.add('192.0.2.3'), 'door')
  connections.close('192.0.2.1')
  t.equal(connections.add('192.0.2.3'), undefined)
  for (const address of ['::ffff:192.0.2.1', '192.0.2.2', '192.0.2.3']) connections.close(address)
  t.same([connections.open, connections.openFrom('192.0.2.1')], [0, 0])
  t.throws(() => connections.close('192.0.2.1'), 'a connection closes once')
  t.end()
})

t.test('one host with many IPv6 addresses is one address', (t) => {
  t.equal(addressKey('2001:db8::1'), addressKey('2001:DB8:0:0:ffff::'))
  t.equal(addressKey('2001:db8:0:0:1::'), '2001:db8:0:0')
  t.not(addressKey('2001:db8:0:1::1'), addressKey('2001:db8:0:2::1'))
  t.equal(addressKey('fe80::1%eth0'), addressKey('fe80::2'))
  t.equal(addressKey('::1'), '0:0:0:0')
  t.equal(addressKey('::'), '0:0:0:0')
  t.equal(addressKey('1:2:3:4:5:6:7:8'), '1:2:3:4')
  t.equal(addressKey('::ffff:10.0.0.1'), '10.0.0.1')
  t.equal(addressKey(undefined), '')
  t.end()
})
