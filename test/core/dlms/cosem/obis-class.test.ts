/** The class that an object of a name usually has: rows of IEC 62056-6-2, Relation to OBIS. */
import t from 'tap'
import { usualClassOf } from '../../../../core/dlms/cosem/index.ts'

t.test('usual classes', (t) => {
  for (const [code, classId] of [
    ['1-0:1.8.0.255', 3],
    ['1-0:1.6.0.255', 4],
    ['1-0:1.4.0.255', 5],
    ['1-0:0.0.0.255', 1],
    ['1-0:99.1.0.255', 7],
    ['0-0:98.1.0.255', 7],
    ['7-0:3.0.0.255', 3],
    ['0-0:1.0.0.255', 8],
    ['0-0:25.9.0.255', 40],
    ['0-0:96.3.10.255', 70],
    ['0-0:96.3.1.255', 1],
    ['0-0:96.8.0.255', 3],
    ['0-1:24.1.0.255', 72],
    ['0-0:44.0.0.255', 18],
    ['0-0:199.0.0.255', 1],
  ] as const)
    t.equal(usualClassOf(code), classId, code)
  t.throws(() => usualClassOf('energy'), { code: 'DLMS_VALUE_INVALID' })
  t.end()
})
