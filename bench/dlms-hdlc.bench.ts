/**
 * What an HDLC frame costs: the check sequence against the loop over bits that the standard
 * describes, a frame written and read, and a whole question and answer between both ends of a link.
 */
import { checkSequence } from '../core/dlms/framing/hdlc/check-sequence.ts'
import { encodeFrame, type HdlcHeader } from '../core/dlms/framing/hdlc/frame.ts'
import { hdlcAddress, HdlcClient, HdlcReader, HdlcServer } from '../core/dlms/index.ts'
import { seededRandom } from '../core/ports/random.ts'
import { measure, type BenchOptions } from './harness.ts'

export const name = 'dlms-hdlc'
export const describe = 'HDLC: check sequence, frames, a question and its answer over a link'

const client = hdlcAddress(16)
const server = hdlcAddress(1, 17)
const header: HdlcHeader = {
  destination: server,
  source: client,
  kind: 'I',
  isFinal: true,
  sendNumber: 1,
  receiveNumber: 2,
  isSegmented: false,
}

function bitwise(view: Uint8Array): number {
  let register = 0xffff
  for (const octet of view) {
    register ^= octet
    for (let bit = 0; bit < 8; bit++) register = (register >> 1) ^ (register & 1 ? 0x8408 : 0)
  }
  return register ^ 0xffff
}

/** Both ends of one link, the server answering with what it was asked. */
function linked() {
  const ends = {
    client: new HdlcClient({ client, server }),
    server: new HdlcServer({ servers: [server] }),
  }
  const settle = (): number => {
    let answered = 0
    for (let isMoving = true; isMoving;) {
      isMoving = false
      for (let step; (step = ends.client.next(0)) !== undefined; isMoving = true) {
        if ('send' in step) ends.server.receive(step.send)
        else if ('apdu' in step) answered += step.apdu.length
      }
      for (let next; (next = ends.server.next(0)) !== undefined; isMoving = true) {
        if ('apdu' in next.step) next.link!.send(next.step.apdu)
        else if ('send' in next.step) ends.client.receive(next.step.send, 0)
      }
    }
    return answered
  }
  ends.client.connect(0)
  settle()
  return (apdu: Buffer): number => {
    ends.client.send(apdu, 0)
    return settle()
  }
}

export function run({ smoke, seed, log }: BenchOptions): Promise<Record<string, unknown>> {
  const figures: Record<string, unknown> = {}
  const random = seededRandom(seed)
  const note = (
    label: string,
    work: (index: number) => number | Uint8Array,
    count: number,
  ): number => {
    const { nsPerOp, bytesPerOp } = measure({ op: work, count, smoke })
    figures[`${label}Ns`] = nsPerOp
    figures[`${label}AllocatedBytes`] = bytesPerOp
    log(`${label}: ${Math.round(nsPerOp)} ns, ${Math.round(bytesPerOp ?? NaN)} octets allocated`)
    return nsPerOp
  }
  for (const bytes of [20, 128, 2030]) {
    const information = random.bytes(bytes)
    const frame = encodeFrame(header, information)
    const reader = new HdlcReader()
    const count = Math.ceil(400_000 / (bytes + 100))
    const table = note(`check${bytes}`, () => checkSequence(information, 0, bytes), count)
    const bits = note(`bitwise${bytes}`, () => bitwise(information), Math.ceil(count / 10))
    figures[`check${bytes}Ratio`] = bits / table
    note(`encode${bytes}`, () => encodeFrame(header, information), count)
    note(
      `decode${bytes}`,
      () => {
        reader.push(frame)
        const { sendNumber } = reader.next()!
        return sendNumber + (reader.next() === undefined ? 0 : 1)
      },
      count,
    )
  }
  const [question, ask] = [random.bytes(20), linked()]
  note('questionAndAnswer', () => ask(question), 5_000)
  return Promise.resolve(figures)
}
