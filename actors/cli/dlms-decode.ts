/**
 * `busbar dlms decode`: what octets mean that go between a head-end and a meter, field by field. Takes an APDU, a wrapper frame or HDLC
 * frames; opens what is ciphered when it is given the keys. It prints secrets that are in the octets: for people who have them anyway.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import type { Apdu } from '../../core/dlms/apdu/codec.ts'
import { encodeApdu } from '../../core/dlms/apdu/codec.ts'
import {
  explain,
  explanationLines,
  type Envelope,
  type ExplainedField,
} from '../../core/dlms/explain.ts'
import { HdlcReader } from '../../core/dlms/hdlc/reader.ts'
import { flagOctet, type HdlcFrame } from '../../core/dlms/hdlc/frame.ts'
import { SecurityChannel, suites, systemTitleBytes } from '../../core/dlms/security/index.ts'
import { SecretKey } from '../../core/ports/crypto.ts'
import { hexIn } from './hex.ts'

/** Texts of the command line, keys and titles in hexadecimal digits. */
export type DecodeOptions = {
  key?: string | undefined
  authenticationKey?: string | undefined
  dedicatedKey?: string | undefined
  masterKey?: string | undefined
  systemTitle?: string | undefined
  recipientTitle?: string | undefined
  json?: boolean | undefined
}

const llcBytes = 3

function octetsIn(text: string, what: string): Buffer {
  const octets = hexIn(text)
  if (octets === undefined)
    throw new BrokerError('DLMS_VALUE_INVALID', `${what} must be pairs of hexadecimal digits`)
  return octets
}

/** Explains `text`; lines for people, or one line of JSON. @throws BrokerError DLMS_VALUE_INVALID for what is no hexadecimal, or a key or title of a wrong length */
export function decodeLines(text: string, options: DecodeOptions): string[] {
  const octets = octetsIn(text, 'what is to be decoded')
  const notes: string[] = []
  const decipher = deciphererOf(options, notes)
  const fields =
    octets[0] === flagOctet ? hdlcFields(octets, decipher) : [explain(octets, { decipher })]
  if (options.json === true) return [JSON.stringify({ fields, notes })]
  return [
    ...fields.flatMap((one) => explanationLines(one)),
    ...[...new Set(notes)].map((note) => `note: ${note}`),
  ]
}

type Decipher = (envelope: Envelope, carrier: Apdu) => Buffer | undefined

/** Each frame, and the APDU behind the LLC header once its last segment has come. */
function hdlcFields(octets: Buffer, decipher: Decipher): ExplainedField[] {
  const reader = new HdlcReader()
  const fields: ExplainedField[] = []
  let gathered: Buffer[] = []
  reader.push(octets)
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
    const children: ExplainedField[] = []
    if (frame.kind === 'I' || frame.kind === 'UI') {
      gathered.push(Buffer.from(frame.informationView))
      if (!frame.isSegmented) {
        const unit = Buffer.concat(gathered)
        gathered = []
        const hasLlc = unit[0] === 0xe6 && unit.length > llcBytes
        children.push(explain(hasLlc ? unit.subarray(llcBytes) : unit, { decipher }))
      }
    }
    fields.push({ name: 'hdlc-frame', value: headOf(frame), at: 0, bytes: octets.length, children })
  }
  if (reader.framesDropped > 0)
    fields.push(plain('unreadable', `${reader.framesDropped} frames with a wrong check sequence`))
  if (fields.length === 0) fields.push(plain('unreadable', 'no whole frame'))
  return fields
}

const plain = (name: string, value: string): ExplainedField => ({
  name,
  value,
  at: 0,
  bytes: 0,
  children: [],
})

function headOf(frame: HdlcFrame): string {
  const { kind, source, destination, sendNumber, receiveNumber, isFinal, isSegmented } = frame
  const numbers =
    kind === 'I'
      ? ` N(S) ${sendNumber} N(R) ${receiveNumber}`
      : kind === 'RR'
        ? ` N(R) ${receiveNumber}`
        : ''
  const addressOf = ({ upper, lower }: { upper: number; lower?: number | undefined }): string =>
    lower === undefined ? String(upper) : `${upper}/${lower}`
  return `${kind}${numbers} from ${addressOf(source)} to ${addressOf(destination)}${isFinal ? ', P/F' : ''}${isSegmented ? ', more follows' : ''}`
}

function keyIn(text: string | undefined, what: string): SecretKey | undefined {
  if (text === undefined) return undefined
  const key = SecretKey.of(octetsIn(text, what))
  if (key === undefined) throw new BrokerError('DLMS_VALUE_INVALID', `${what} has 16 or 32 octets`)
  return key
}

function titleIn(text: string | undefined, what: string): Buffer | undefined {
  if (text === undefined) return undefined
  const title = octetsIn(text, what)
  if (title.length !== systemTitleBytes)
    throw new BrokerError('DLMS_VALUE_INVALID', `${what} has eight octets`)
  return title
}

/** Stands for us, whom nobody asks: what is decoded was sent by somebody else. */
const nobody = Buffer.alloc(systemTitleBytes, 0xff)

function deciphererOf(options: DecodeOptions, notes: string[]): Decipher {
  const unicast = keyIn(options.key, '--key')
  const authentication = keyIn(options.authenticationKey, '--authentication-key')
  const dedicated = keyIn(options.dedicatedKey, '--dedicated-key')
  const master = keyIn(options.masterKey, '--master-key')
  const givenTitle = titleIn(options.systemTitle, '--system-title')
  const recipient = titleIn(options.recipientTitle, '--recipient-title')
  return (envelope, carrier) => {
    const title = titleOf(envelope) ?? titleOfCarrier(carrier) ?? givenTitle
    const suite = suites[envelope.ciphered.securityControl & 0x0f]
    if (unicast === undefined && dedicated === undefined && master === undefined) {
      notes.push('ciphered: --key, --authentication-key and perhaps --system-title open it')
      return undefined
    }
    if (title === undefined) {
      notes.push('the sender is not named here: give --system-title')
      return undefined
    }
    if (suite === undefined) {
      notes.push('the security control octet names no suite that there is')
      return undefined
    }
    try {
      const fits = (key: SecretKey | undefined) => (key?.bytes === suite.keyBytes ? key : undefined)
      const channel = new SecurityChannel({
        role: 'client',
        suite,
        ownTitle: recipient ?? recipientOf(envelope) ?? nobody,
        peerTitle: title,
        keys: {
          unicast: fits(unicast),
          broadcast: fits(unicast),
          authentication: fits(authentication),
          master: fits(master),
        },
        counters: {},
      })
      const own = fits(dedicated)
      if (own !== undefined) channel.setDedicatedKey(own)
      return channel.unprotect(encodeApdu(envelope as Apdu))
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      notes.push(`not deciphered: ${error.message}`)
      return undefined
    }
  }
}

function titleOf(envelope: Envelope): Buffer | undefined {
  if ('systemTitleView' in envelope) return asTitle(envelope.systemTitleView)
  if ('originatorSystemTitleView' in envelope) return asTitle(envelope.originatorSystemTitleView)
  return undefined
}

const recipientOf = (envelope: Envelope): Buffer | undefined =>
  'recipientSystemTitleView' in envelope ? asTitle(envelope.recipientSystemTitleView) : undefined

function titleOfCarrier(carrier: Apdu): Buffer | undefined {
  if (carrier.type === 'aarq') return asTitle(carrier.callingApTitleView)
  return carrier.type === 'aare' ? asTitle(carrier.respondingApTitleView) : undefined
}

const asTitle = (view: Buffer | undefined): Buffer | undefined =>
  view?.length === systemTitleBytes ? view : undefined
