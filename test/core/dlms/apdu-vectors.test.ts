/**
 * The codec of APDUs against vectors and conversations of other code bases, read in place: every
 * APDU decoded to what it is said to mean, field by field, and encoded to the same octets where
 * somebody else's codec does that too.
 */
import t, { type Test } from 'tap'
import { decodeApdu, encodeApdu, type Apdu } from '../../../core/dlms/apdu/codec.ts'
import { explain, type ExplainedField } from '../../../core/dlms/explain.ts'
import { WrapperReader } from '../../../core/dlms/framing/wrapper.ts'
import { apduMeaning } from '../../support/apdu-meaning.ts'
import { loadExchanges, loadVectors, outcomeOf, type Meaning } from '../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const vectors = loadVectors()
const exchanges = loadExchanges()
const absent =
  'SKIPPED: ../shared/dlms is not there, so the codec is NOT tried against vectors of others'

// What a vector says of its octets, not of the APDU.
const asides = new Set(['declared_length', 'actual_length', 'length_ok'])

/** Every field that `wanted` has is as it says, and no field is there that it has not. */
function meansThat(t: Test, apdu: Apdu, kind: string, wanted: Meaning): void {
  t.equal(apdu.type, kind)
  const found = apduMeaning(apdu)
  for (const [name, value] of Object.entries(wanted))
    if (!asides.has(name)) t.same(found[name] ?? null, value, name)
  for (const [name, value] of Object.entries(found))
    if (value !== undefined && value !== null) t.ok(name in wanted, `${name} is in the vector`)
}

/** What was decoded is encoded to what it came from. */
function sameBothWays(t: Test, apdu: Apdu, bytes: Buffer): void {
  t.equal(encodeApdu(apdu).toString('hex'), bytes.toString('hex'), 'the same octets')
}

function errorsIn(field: ExplainedField): string[] {
  return [
    ...(field.name === 'unreadable' ? [field.value] : []),
    ...field.children.flatMap(errorsIn),
  ]
}

function isEncodedAlikeBySomebody(checks: Meaning): boolean {
  return Object.values(checks).includes('same octets')
}

t.test('vectors of APDUs', { skip: vectors === undefined && absent }, (t) => {
  if (vectors === undefined) return t.end()
  const counts = { decoded: 0, same: 0, tolerated: 0, refused: 0, plaintexts: 0 }
  for (const { id, group, kind, hex: text, meaning, valid, ...more } of vectors) {
    if (!['acse', 'xdlms', 'ciphered', 'invalid'].includes(group)) continue
    t.test(id, (t) => {
      const bytes = hex(text)
      // An authentication tag that does not fit its content is for whoever has the key.
      const isEnvelope = group === 'ciphered' || valid === 'bad-tag'
      const isWhole = valid === true || (isEnvelope && !/NO length octets/.test(more.note ?? ''))
      const strict = outcomeOf(() => decodeApdu(bytes))
      if (isWhole) {
        meansThat(t, strict.value!, kind, meaning)
        counts.decoded++
        if (isEncodedAlikeBySomebody(more.checks)) counts.same++
        sameBothWays(t, strict.value!, bytes)
        t.same(errorsIn(explain(bytes)), [])
      } else {
        t.match(strict.code, /^DLMS_/, 'refused by name')
        counts.refused++
      }
      if (valid === 'trailing-octets') {
        const apdu = decodeApdu(bytes, { isTolerant: true })
        meansThat(t, apdu, kind, meaning)
        sameBothWays(t, apdu, bytes.subarray(0, bytes.length - more.trailing!.length / 2))
        counts.tolerated++
      }
      if (more.plaintext !== undefined && more.plaintext_meaning !== undefined) {
        const plaintext = hex(more.plaintext)
        const inner = outcomeOf(() => decodeApdu(plaintext))
        if (more.plaintext_kind === 'undecodable') t.match(inner.code, /^DLMS_/)
        else {
          const apdu = inner.value ?? decodeApdu(plaintext, { isTolerant: true })
          meansThat(t, apdu, more.plaintext_kind!, more.plaintext_meaning)
          if (inner.value !== undefined) sameBothWays(t, apdu, plaintext)
        }
        counts.plaintexts++
      }
      t.end()
    })
  }
  t.comment(JSON.stringify(counts))
  t.ok(counts.decoded > 370 && counts.same > 300 && counts.refused > 10 && counts.plaintexts > 100)
  t.end()
})

t.test('what a head-end takes all the same', { skip: vectors === undefined && absent }, (t) => {
  if (vectors === undefined) return t.end()
  const releases = vectors.filter(
    ({ group, hex: text }) => group === 'invalid' && text.startsWith('63'),
  )
  t.ok(releases.length >= 4)
  for (const { hex: text } of releases) {
    const apdu = decodeApdu(hex(text), { isTolerant: true })
    t.match(apdu, { type: 'rlre', reason: 0 })
    const declared = text.includes('0800065f1f') ? 'initiate-response' : 'glo-initiate-response'
    t.match(apdu, { userInformation: { type: declared } }, 'although its lengths are too short')
  }
  t.end()
})

t.test('vectors of wrapper frames', { skip: vectors === undefined && absent }, (t) => {
  if (vectors === undefined) return t.end()
  let count = 0
  for (const { id, group, hex: text, meaning, valid } of vectors) {
    if (group !== 'wrapper' || valid === false) continue
    t.test(id, (t) => {
      const bytes = hex(text)
      const reader = new WrapperReader()
      reader.push(bytes)
      const frame = reader.next()
      t.equal(explain(bytes).name, frame === undefined ? 'APDU 00' : 'wrapper')
      if (frame !== undefined) {
        const { apdu_kind: kind, apdu_meaning: inner, time, attribute, value } = meaning
        const strict = outcomeOf(() => decodeApdu(frame.apduView))
        if (kind === null || valid !== true) t.match(strict.code, /^DLMS_/)
        // One vector is about the frame alone, and one has the conformance tag of old meters, which
        // is not ours.
        else if (!text.includes('5f0400')) sameBothWays(t, strict.value!, frame.apduView)
        if (typeof kind === 'string') {
          const apdu = decodeApdu(frame.apduView, { isTolerant: true })
          meansThat(t, apdu, kind, (inner ?? { time, attribute, value }) as Meaning)
        }
        count++
      }
      t.end()
    })
  }
  t.comment(`${count} frames`)
  t.ok(count > 20)
  t.end()
})

t.test('every recorded APDU', { skip: exchanges === undefined && absent }, (t) => {
  if (exchanges === undefined) return t.end()
  const counts = { decoded: 0, same: 0, refused: 0 }
  const different: string[] = []
  for (const [name, session] of exchanges)
    for (const [i, { apdu: text, plaintext, kind, plaintext_kind }] of session.entries())
      for (const [octets, wanted] of [
        [text, kind],
        [plaintext, plaintext_kind],
      ]) {
        if (octets === undefined) continue
        const bytes = hex(octets)
        const outcome = outcomeOf(() => decodeApdu(bytes))
        const tolerant = outcomeOf(() => decodeApdu(bytes, { isTolerant: true }))
        if (wanted === undefined || wanted === 'undecodable') {
          t.match(outcome.code, /^DLMS_/, `${name} ${i}: ${octets.slice(0, 40)}`)
          counts.refused++
          continue
        }
        if (tolerant.value?.type !== wanted)
          t.fail(
            `${name} ${i}: ${tolerant.value?.type ?? tolerant.code} for ${wanted}, ${octets.slice(0, 80)}`,
          )
        counts.decoded++
        if (outcome.value === undefined) continue
        if (encodeApdu(outcome.value).equals(bytes)) counts.same++
        else different.push(octets)
      }
  t.comment(JSON.stringify(counts))
  t.same(different, [], 'all of them are encoded to the same octets')
  t.ok(counts.decoded > 1100)
  t.end()
})
