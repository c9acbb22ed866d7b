/** core/envelope/partition: the function is part of every ledger, so its values are pinned. */
import t from 'tap'
import { readEui64 } from '../../../core/base/eui64.ts'
import { partitionAt, partitionOf } from '../../../core/envelope/partition.ts'

t.test('a device keeps its partition', async (t) => {
  const octets = Buffer.from('00DB1234567890A0', 'hex')
  // FNV-1a-32 by its definition, in integers that cannot overflow.
  let hash = 0x811c9dc5n
  for (const octet of octets) hash = ((hash ^ BigInt(octet)) * 0x01000193n) & 0xffff_ffffn
  for (const count of [1, 2, 16, 64, 256]) {
    t.equal(partitionOf(readEui64(octets), count), Number(hash % BigInt(count)))
    const within = Buffer.concat([Buffer.alloc(5, 7), octets, Buffer.alloc(3, 9)])
    t.equal(partitionAt(within, 5, count), partitionOf(readEui64(octets), count))
  }
  t.equal(partitionOf(readEui64(octets), 256), Number(hash & 0xffn))
})
