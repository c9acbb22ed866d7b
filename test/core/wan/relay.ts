/**
 * Bad ways between a pool and meters, as bad as a seed says until they are `calm`: one for
 * datagrams, which loses some, brings some twice and lets some overtake others, and one for the
 * octets of a line, which drops, changes and inserts some.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Random } from '../../../core/ports/random.ts'

export type Relay = {
  readonly port: number
  calm: boolean
  close(): Promise<void>
}

const host = '127.0.0.1'

/**
 * Shares of datagrams that are lost, held back until the next has gone (and lost when there is
 * none), and sent twice.
 */
export type DatagramShares = { lost: number; held: number; doubled: number }
export const calmDatagrams: DatagramShares = { lost: 0, held: 0, doubled: 0 }
const badDatagrams: DatagramShares = { lost: 0.03, held: 0.05, doubled: 0.12 }

/** `onDatagram` hears what goes to the meters, before anything happens to it. */
export async function relayDatagrams(
  target: number,
  random: Random,
  onDatagram: (octets: Buffer) => void,
  shares = { questions: badDatagrams, answers: badDatagrams },
): Promise<Relay> {
  const front = createSocket('udp4')
  const backs = new Map<number, DatagramSocket>()
  const wayTo = (
    send: (octets: Buffer) => void,
    bad: DatagramShares,
  ): ((octets: Buffer) => void) => {
    let heldBack: Buffer | undefined
    return (octets) => {
      const { lost, held, doubled } = relay.calm ? calmDatagrams : bad
      const chance = random.fraction()
      const overtaken = heldBack
      heldBack = undefined
      if (chance >= lost && chance < lost + held) heldBack = octets
      else if (chance >= lost) send(octets)
      if (chance >= lost + held && chance < lost + held + doubled) send(octets)
      if (overtaken !== undefined) send(overtaken)
    }
  }
  const relay = {
    port: 0,
    calm: false,
    async close() {
      for (const socket of [front, ...backs.values()])
        await new Promise<void>((resolve) => void socket.close(() => resolve()))
    },
  }
  const ways = new Map<number, (octets: Buffer) => void>()
  front.on('message', (octets, { port }) => {
    onDatagram(octets)
    let way = ways.get(port)
    if (way === undefined) {
      const back = createSocket('udp4')
      backs.set(port, back)
      back.on(
        'message',
        wayTo((answer) => front.send(answer, port, host), shares.answers),
      )
      way = wayTo((question) => back.send(question, target, host), shares.questions)
      ways.set(port, way)
    }
    way(octets)
  })
  await new Promise<void>((resolve) => void front.bind(0, host, resolve))
  relay.port = front.address().port
  return relay
}

// Of each octet of a line.
const damage = 1 / 1_500

export async function relayLine(target: number, random: Random): Promise<Relay> {
  const sockets = new Set<Socket>()
  const relay = {
    port: 0,
    calm: false,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  }
  const damaged = (octets: Buffer): Buffer => {
    if (relay.calm) return octets
    const out: number[] = []
    for (const octet of octets) {
      const chance = random.fraction() / damage
      if (chance < 1) out.push(octet ^ (1 + Math.floor(random.fraction() * 255)))
      else if (chance < 2) out.push(octet, Math.floor(random.fraction() * 256))
      else if (chance >= 3) out.push(octet)
    }
    return Buffer.from(out)
  }
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect(target, host)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('data', (octets: Buffer) => void other.write(damaged(octets)))
      one.on('error', () => undefined)
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => void server.listen(0, host, resolve))
  relay.port = (server.address() as AddressInfo).port
  return relay
}
