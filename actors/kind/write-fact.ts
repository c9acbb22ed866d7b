/** The envelope of a fact of a kind of actor whose facts have all they say in their body. */
import { bytesOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import type { Srv } from '../../core/base/srv.ts'
import { writeEnvelope, type Header } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, type Kind } from '../../core/envelope/layout.ts'

const nobody = Buffer.alloc(8)

/** What a fact has of a header besides its kind. */
export type FactHeader = { readonly time: number } & Partial<
  Pick<Header, 'srv' | 'outcome' | 'originator' | 'counter'>
>

/** Appends the fact of `kind` of the actor `id` to its partition's frame. */
export function writeFactOf(
  frame: FrameWriter,
  id: Eui64,
  kind: Kind,
  { srv = 0 as Srv, outcome = 0, originator = nobody, counter = 0n, time }: FactHeader,
  bodyView: Buffer,
): void {
  const at = frame.reserve(headerBytes + bodyView.length)
  const header: Header = {
    kind,
    lane: Lane.BULK,
    srv,
    outcome,
    bodyType: 0,
    attempt: 0,
    originator,
    target: bytesOfEui64(id),
    counter,
    time,
    deadline: 0,
    correlation: 0,
  }
  writeEnvelope(frame.target, at, header, bodyView)
  frame.count++
}
