/**
 * `busbar keys status`: what operators see of the keys of all partitions, and when they may
 * trust it.
 */
import t from 'tap'
import { keysStatus } from '../../../actors/cli/operator/keys-commands.ts'
import {
  decodeHostStatus,
  encodeHostStatus,
  noKeyCounts,
  type KeyCounts,
} from '../../../core/cluster/process-status.ts'

const name = 'a1b2c3d4'

function status(...keys: Partial<KeyCounts>[]): { code: number; text: string; json: object } {
  const partitions = keys.map((counts, number) => ({
    number,
    sequence: 1,
    savedSequence: 1,
    snapshotSequence: 0,
    awake: 0,
    waiting: 0,
    keys: { ...noKeyCounts, ...counts },
  }))
  const host = decodeHostStatus(encodeHostStatus({ hostId: 'host', roles: ['host'], partitions }))
  const cluster = { hosts: [host] } as Parameters<typeof keysStatus>[0]
  const lines: string[] = []
  const code = keysStatus(cluster, (line) => void lines.push(line), false)
  let json = {}
  keysStatus(cluster, (line) => (json = JSON.parse(line) as object), true)
  return { code, text: lines.join('\n'), json }
}

t.test('all counted under one key', (t) => {
  const { code, text, json } = status(
    { under: name, keyed: 3 },
    { under: name, keyed: 2, older: 1 },
  )
  t.equal(code, 0)
  t.match(text, /5 devices with keys, 1 sealed under an older key-encryption key than a1b2c3d4/)
  t.match(json, { under: name, keyed: 5, older: 1, partitions: [{ owner: 'host' }, {}] })
  t.equal(status({ under: 'none' }).code, 0)
  t.equal(status({ under: name, unreadable: 1 }).code, 1)
  t.end()
})

t.test(
  'what has not been counted, or was before a rotation, is no reason to take a key away',
  (t) => {
    for (const counts of [
      [{ under: name, keyed: 3 }, {}],
      [{ under: name }, { under: 'ffffffff' }],
    ]) {
      const { code, text, json } = status(...counts)
      t.equal(code, 1)
      t.match(text, /take no key away, ask again/)
      t.match(json, { under: null })
    }
    t.match(status({}).text, /not yet/)
    t.end()
  },
)
