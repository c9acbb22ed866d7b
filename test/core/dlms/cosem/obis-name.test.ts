/**
 * OBIS codes in words: golden names by the clauses of IEC 62056-6-1, and a name for every code
 * there can be.
 */
import fc from 'fast-check'
import t from 'tap'
import { formatObisWithStar, nameOfObis } from '../../../../core/dlms/cosem/obis-name.ts'
import { formatObis, parseObis } from '../../../../core/dlms/axdr/obis.ts'
import { octets, outcomeOf } from '../../../support/dlms.ts'

t.test('golden names', async (t) => {
  const golden: [code: string, name: string][] = [
    // Electricity, value groups C, D and E
    ['1-0:1.8.0.255', 'Electricity, active energy import (+A), total, rate total, current'],
    ['1-0:2.8.2.255', 'Electricity, active energy export (-A), total, rate 2, current'],
    ['1-0:1.7.0.255', 'Electricity, active power import (+A), instantaneous, current'],
    [
      '1-1:1.29.0.255',
      'Electricity, channel 1, active energy import (+A), in recording interval 1, rate total, current',
    ],
    ['1-0:1.6.1.255', 'Electricity, active power import (+A), maximum 1, rate 1, current'],
    ['1-0:16.7.0.255', 'Electricity, active power net (|+A|-|-A|), instantaneous, current'],
    ['1-0:21.7.0.255', 'Electricity, active power import (+A) L1, instantaneous, current'],
    ['1-0:52.7.0.255', 'Electricity, voltage L2, instantaneous, current'],
    ['1-0:71.7.0.255', 'Electricity, current L3, instantaneous, current'],
    ['1-0:32.7.5.255', 'Electricity, voltage L1, instantaneous, harmonic 5, current'],
    ['1-0:12.7.124.255', 'Electricity, voltage, instantaneous, total harmonic distortion, current'],
    ['1-0:81.7.15.255', 'Electricity, angle of I L2 from U L2, instantaneous, current'],
    ['1-0:83.8.6.255', 'Electricity, active transformer losses, total, current'],
    ['1-0:14.7.0.255', 'Electricity, supply frequency, instantaneous, current'],
    ['1-0:32.32.0.255', 'Electricity, voltage L1, under limit, occurrences, rate total, current'],
    ['1-0:0.4.2.255', 'Electricity, current transformer ratio, numerator'],
    ['1-0:0.8.4.255', 'Electricity, recording interval 1'],
    ['1-0:99.1.0.255', 'Electricity, load profile with recording interval 1, 0'],
    ['1-0:99.10.1.255', 'Electricity, voltage dip profile'],
    // Billing periods, value group F
    [
      '1-0:1.8.0.101',
      'Electricity, active energy import (+A), total, rate total, last billing period',
    ],
    ['1-0:1.8.0*05', 'Electricity, active energy import (+A), total, rate total, billing period 5'],
    [
      '1-0:1.8.0.103',
      'Electricity, active energy import (+A), total, rate total, last 3 billing periods',
    ],
    [
      '1-0:1.8.0.126',
      'Electricity, active energy import (+A), total, rate total, last billing periods',
    ],
    // Abstract objects
    ['0-0:1.0.0.255', 'Abstract, clock'],
    ['0-0:42.0.0.255', 'Abstract, COSEM logical device name'],
    ['0-0:40.0.0.255', 'Abstract, current association'],
    ['0-0:40.0.3.255', 'Abstract, association 3'],
    ['0-0:43.1.0.255', 'Abstract, invocation counter 0'],
    ['0-0:96.1.0.255', 'Abstract, device ID 1'],
    ['0-0:96.1.10.255', 'Abstract, metering point ID'],
    ['0-0:96.3.10.255', 'Abstract, disconnect control'],
    ['0-2:24.2.1.255', 'Abstract, channel 2, M-Bus value 1'],
    ['0-0:99.98.1.255', 'Abstract, event log 1'],
    ['0-0:10.0.106.255', 'Abstract, script table, disconnect control'],
    ['0-0:29.2.1.255', 'Abstract, G3 PLC setup 2.1'],
    // Other media
    [
      '7-0:3.0.0.255',
      'Gas, forward absolute meter volume, at metering conditions, rate total, current',
    ],
    [
      '7-0:13.2.0.255',
      'Gas, forward absolute converter volume, at base conditions, rate total, current',
    ],
    ['6-0:1.0.0.255', 'Thermal energy, heat, energy, current value, rate total, current'],
    ['8-0:1.0.0.255', 'Cold water, accumulated volume, current value, rate total, current'],
    // Without a word
    ['1-0:83.8.0.255', 'Electricity, transformer and line losses, total, current'],
    ['1-0:200.8.0.255', 'Electricity, object 200.8.0'],
    ['1-0:150.8.0.255', 'Electricity, manufacturer specific 150.8.0'],
    [
      '3-200:1.2.3.255',
      'medium 3, manufacturer specific 200, quantity 1, processing 2, rate 3, current',
    ],
  ]
  for (const [code, name] of golden) t.equal(nameOfObis(code), name, code)
})

t.test('every code has a name', async (t) => {
  fc.assert(
    fc.property(octets(6), (bytes) => {
      const name = nameOfObis(bytes)
      if (/undefined|NaN|\{|, ,|^,|,$/.test(name)) t.fail(`${formatObis(bytes)}: ${name}`)
      return parseObis(formatObisWithStar(bytes)).equals(bytes)
    }),
    { numRuns: 20_000 },
  )
  t.equal(formatObisWithStar(Buffer.of(1, 0, 1, 8, 0, 255)), '1-0:1.8.0*255')
  t.equal(outcomeOf(() => nameOfObis('1.8.0')).code, 'DLMS_VALUE_INVALID')
})
