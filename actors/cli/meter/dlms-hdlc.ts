/** HDLC frames field by field, for people. [IEC 62056-46, 6.4] */
import type { ExplainedField } from '../../../core/dlms/explain.ts'
import { textOfAddress } from '../../../core/dlms/framing/hdlc/address.ts'
import {
  flagOctet,
  frameBytesAt,
  hasGoodFcs,
  readFrame,
  type HdlcFrame,
} from '../../../core/dlms/framing/hdlc/frame.ts'
import { readParameters } from '../../../core/dlms/framing/hdlc/parameters.ts'

/** A field without children. */
export function leaf(name: string, value: string, at: number, bytes: number): ExplainedField {
  return { name, value, at, bytes, children: [] }
}

/**
 * What stands at a flag: a frame, one that is damaged, or nothing that is one. `end` is the offset
 * behind it.
 */
export type HdlcPiece = { field: ExplainedField; frame: HdlcFrame | undefined; end: number }

/** Reads what stands at `at`, a flag, or in front of the next one. */
export function hdlcPieceAt(octets: Buffer, at: number): HdlcPiece {
  const bytes = octets[at] === flagOctet ? frameBytesAt(octets, at, octets.length) : 0
  if (bytes > octets.length - at) return unreadable(octets, at, octets.length, 'cut short')
  if (bytes === 0) {
    const next = octets.indexOf(flagOctet, at + 1)
    return unreadable(
      octets,
      at,
      next < 0 ? octets.length : next,
      'no HDLC frame, or a damaged one',
    )
  }
  if (!hasGoodFcs(octets, at, bytes))
    return unreadable(octets, at, at + bytes, 'a frame with a wrong check sequence')
  const frame = readFrame(octets, at, bytes)
  return { field: frameField(frame, octets, at, bytes), frame, end: at + bytes }
}

function unreadable(octets: Buffer, at: number, end: number, why: string): HdlcPiece {
  const field = leaf('unreadable', `${why}: ${octets.toString('hex', at, end)}`, at, end - at)
  return { field, frame: undefined, end }
}

function frameField(frame: HdlcFrame, octets: Buffer, at: number, bytes: number): ExplainedField {
  const { destination, source, informationView: view } = frame
  const controlAt = at + 3 + destination.octets + source.octets
  const fcsAt = at + bytes - 3
  const children = [
    leaf('frame-format', `type 3, ${bytes - 2} octets`, at + 1, 2),
    leaf('destination', textOfAddress(destination), at + 3, destination.octets),
    leaf('source', textOfAddress(source), at + 3 + destination.octets, source.octets),
    leaf('control', textOfControl(frame), controlAt, 1),
  ]
  if (view.length > 0) {
    children.push(
      leaf('hcs', octets.toString('hex', controlAt + 1, controlAt + 3), controlAt + 1, 2),
    )
    children.push(informationField(frame, fcsAt - view.length))
  }
  children.push(leaf('fcs', octets.toString('hex', fcsAt, fcsAt + 2), fcsAt, 2))
  const ends = `from ${textOfAddress(source)} to ${textOfAddress(destination)}`
  return { name: 'hdlc-frame', value: `${textOfControl(frame, ends)}`, at, bytes, children }
}

function informationField({ kind, informationView }: HdlcFrame, at: number): ExplainedField {
  const bytes = informationView.length
  const field = leaf('information', informationView.toString('hex'), at, bytes)
  if (kind !== 'SNRM' && kind !== 'UA') return field
  const { transmitBytesMax, receiveBytesMax, transmitWindow, receiveWindow } =
    readParameters(informationView)
  field.children.push(
    leaf('max-information-field-transmit', `${transmitBytesMax} octets`, at, bytes),
    leaf('max-information-field-receive', `${receiveBytesMax} octets`, at, bytes),
    leaf('window-transmit', `${transmitWindow} frames`, at, bytes),
    leaf('window-receive', `${receiveWindow} frames`, at, bytes),
  )
  return field
}

function textOfControl(
  { kind, sendNumber, receiveNumber, isFinal, isSegmented }: HdlcFrame,
  ends = '',
): string {
  const numbers =
    kind === 'I'
      ? ` N(S) ${sendNumber} N(R) ${receiveNumber}`
      : kind === 'RR' || kind === 'RNR' || kind === 'REJ'
        ? ` N(R) ${receiveNumber}`
        : ''
  const behind = ends === '' ? '' : ` ${ends}`
  return `${kind}${numbers}${behind}${isFinal ? ', P/F' : ''}${isSegmented ? ', more follows' : ''}`
}
