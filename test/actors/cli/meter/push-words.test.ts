/**
 * What pushes say, in words: times in either form, names from a push object list, what is left
 * over.
 */
import t from 'tap'
import { contentOf, wordsOf } from '../../../../actors/cli/meter/push-words.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const head = '0f00000001'
const saturday = '07e4020f06010830ff800000'

t.test('the time as the standard has it, and as Data', (t) => {
  for (const time of [`0c ${saturday}`, `090c ${saturday}`])
    t.match(contentOf(hex(`${head} ${time} 02010600001fc7`)), {
      time: /^2020-02-15/,
      fields: [{ value: { value: 8_135 } }],
    })
  t.end()
})

t.test('a push object list gives each value its name', (t) => {
  const entry = (classId: string, name: string, attribute: string): string =>
    `0204 12${classId} 0906${name} 0f${attribute} 120000`
  const list = `0103 ${entry('0028', '0000190900ff', '02')} ${entry('0003', '0100010700ff', '02')} ${entry('0008', '0000010000ff', '02')}`
  const content = contentOf(hex(`${head} 00 0203 ${list} 0600000028 090c${saturday}`))
  t.match(content.fields, [
    { obis: '1-0:1.7.0.255', member: 'Register value', value: { value: 40 } },
    { obis: '0-0:1.0.0.255', member: 'Clock time', value: /^2020-02-15/ },
  ])
  t.match(
    wordsOf(content).at(-1),
    /1-0:1\.7\.0\.255\) Register value: 40; .*Clock time: 2020-02-15/,
  )
  t.end()
})

t.test('dates and times of day; what stands behind', (t) => {
  const date = contentOf(hex(`${head} 00 0202 0905 07e5030707 0905 07e5030706`))
  t.match(date.fields, [{ value: { time: /^2021-03-07/ } }, { value: { time: undefined } }])
  const trailing = contentOf(hex(`${head} 00 1105 0011`))
  t.equal(trailing.trailing, '0011')
  t.match(wordsOf(trailing), ['data-notification', '5', 'behind it, not understood: 0011'])
  t.end()
})

t.test('an information-report: short names and values', (t) => {
  const report = contentOf(
    hex('18 01 0f 32303236303631323133313431355a 02 02fa08 02 0100 02 1105 0a0141'),
  )
  t.same(report, {
    type: 'information-report-request',
    time: '20260612131415Z',
    fields: [
      { variable: 'FA08', value: { axdr: 'unsigned', value: 5 } },
      { variable: '0100', value: { axdr: 'visible-string', value: 'A' } },
    ],
  })
  t.same(wordsOf(report), [
    'information-report-request',
    '20260612131415Z',
    'variable FA08: 5; variable 0100: A',
  ])
  t.match(contentOf(hex('18 00 01 02 0100 01 1105')).time, undefined)
  t.end()
})
