/**
 * What a person with one meter can do about a fault: the error table speaks to operators and
 * parties of a broker.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import type { ErrorCode } from '../../../core/base/error-table.ts'
import { OperatorFault, UsageFault } from '../operator-fault.ts'

const ciphering =
  'Check --keys (or --unicast-key and --authentication-key), --suite, --system-title and --meter-title.'
const maker =
  'Look at it with --hex and `busbar dlms decode`; perhaps a --profile of the model helps.'

const advice: { readonly [code in ErrorCode]?: string } = {
  CONFIG_INVALID: '--help lists the options.',
  DEVICE_UNREACHABLE: 'Check host and port, and --transport.',
  DEVICE_SILENT:
    'Check --transport, --client and --logical-device, under --suite keys and --counter, too; --wait-ms gives a slow meter more time.',
  DEVICE_ANSWER_INVALID: maker,
  DEVICE_REFUSED:
    '`busbar meter objects` lists what this client may do; try another --client, --class or --attribute.',
  DEVICE_ASSOCIATION_REFUSED:
    'Check --client, --mechanism, --password, --suite and keys, and the --counter where one was given.',
  DLMS_ASSOCIATION_REFUSED:
    'Check --client, --mechanism, --password, --suite and keys, and the --counter where one was given.',
  DLMS_AUTHENTICATION_FAILED: 'Check --mechanism, --password and keys.',
  DLMS_EXCEPTION: maker,
  DLMS_TAG_UNKNOWN: maker,
  DLMS_LENGTH_INVALID: maker,
  DLMS_NESTING_EXCEEDED: maker,
  DLMS_BLOCK_NUMBER_WRONG: maker,
  DLMS_INVOKE_ID_WRONG: maker,
  DLMS_SERVICE_UNEXPECTED: maker,
  DLMS_TRANSFER_ABORTED: maker,
  DLMS_VALUE_INVALID: 'Correct the value, or look at it with --hex and `busbar dlms decode`.',
  DLMS_WRAPPER_INVALID: 'Check port and --transport: perhaps the meter speaks HDLC.',
  DLMS_HDLC_INVALID:
    'Check port and --transport, and the speed and parity of the serial server: perhaps the meter speaks the wrapper.',
  DLMS_HDLC_SILENT:
    'Check --logical-device (upper/lower), --hdlc-address-octets and --client; or try --profile hdlc-proposing.',
  DLMS_HDLC_REFUSED: 'Check --logical-device and --client; another client may have the link.',
  DLMS_HDLC_BROKEN: 'Try --profile hdlc-uncounted, and look at it with --hex.',
  DLMS_CIPHER_TAG_WRONG: ciphering,
  DLMS_COUNTER_REPLAYED:
    'Try again: the meter begins its own counter again within an association, or somebody replays what it has said.',
  DLMS_COUNTER_EXHAUSTED: "The meter's key must be replaced.",
  DLMS_PROTECTION_INSUFFICIENT: 'Give a --protection that the meter answers with.',
  DLMS_SYSTEM_TITLE_WRONG: 'Check --system-title and --meter-title.',
  DLMS_KEY_UNKNOWN: 'Give it in --keys FILE.',
  DLMS_SECURITY_CONTROL_INVALID: 'Check --suite.',
  DLMS_SIGNATURE_WRONG: 'Check peerSigning in --keys FILE.',
  DLMS_KEY_WRAP_WRONG: 'Check master in --keys FILE.',
  DLMS_KEY_AGREEMENT_INVALID: 'Check agreement and peerAgreement in --keys FILE.',
}

/** What happened, without advice. */
export function inShort({ code, detail, row }: BrokerError): string {
  return `${code}: ${row.meaning}${detail === undefined ? '' : ` (${detail})`}`
}

/** `fault` with that advice; unchanged where the table says it as well. */
export function withAdvice(fault: unknown): unknown {
  if (!(fault instanceof BrokerError)) return fault
  const { code, detail, row } = fault
  const action = advice[code]
  if (action === undefined) return fault
  if (code === 'CONFIG_INVALID')
    return new UsageFault(`${code}: ${detail ?? row.meaning}. ${action}`, { cause: fault })
  return new OperatorFault(`${inShort(fault)} ${action}`, { cause: fault })
}
