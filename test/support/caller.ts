/**
 * A client of simulated meters on a socket of its own, for tests: frames one by one, whole
 * exchanges, and what came of them.
 */
import { connect, type Socket } from 'node:net'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { DlmsClient } from '../../core/dlms/client/client.ts'
import { wrapInPlace, WrapperReader, type WrapperFrame } from '../../core/dlms/framing/wrapper.ts'
import type { CosemOperation, CosemResult, DeviceAddress } from '../../core/ports/wan.ts'
import { descriptor } from './meters.ts'

export const get = (classId: number, obis: string, index: number): CosemOperation => ({
  kind: 'get',
  descriptor: descriptor(classId, obis, index),
})

export const energy = get(3, '1-0:1.8.0.255', 2)
export const profile = get(7, '1-0:99.1.0.255', 2)

/**
 * A client with one connection; frames come out one by one, undefined when the connection has
 * ended.
 */
export class Caller {
  readonly socket: Socket
  private readonly reader = new WrapperReader()
  private readonly frames: Array<WrapperFrame | BrokerError | undefined> = []
  private wake: (() => void) | undefined

  constructor(host: string, port: number) {
    this.socket = connect({ host, port, noDelay: true })
    this.socket.on('error', () => undefined)
    this.socket.on('data', (chunk) => {
      try {
        this.reader.push(chunk)
        for (let frame = this.reader.next(); frame; frame = this.reader.next()) {
          this.put({ ...frame, apduView: Buffer.from(frame.apduView) })
        }
      } catch (error) {
        this.put(error as BrokerError)
        this.socket.destroy()
      }
    })
    this.socket.on('close', () => this.put(undefined))
  }

  private put(frame: WrapperFrame | BrokerError | undefined): void {
    this.frames.push(frame)
    this.wake?.()
  }

  async next(): Promise<WrapperFrame> {
    while (this.frames.length === 0) await new Promise<void>((resolve) => (this.wake = resolve))
    const frame = this.frames.shift()
    if (frame === undefined) throw new Error('closed')
    if (frame instanceof BrokerError) throw frame
    return frame
  }

  send(
    apdu: Buffer,
    { client, logicalDevice }: Pick<DeviceAddress, 'client' | 'logicalDevice'>,
  ): void {
    this.socket.write(wrapInPlace(apdu, client, logicalDevice))
  }

  /** Carries out operations through `association`; throws what it throws. */
  async exchange(
    association: DlmsClient,
    address: Pick<DeviceAddress, 'client' | 'logicalDevice'>,
    operations: CosemOperation[],
  ): Promise<CosemResult[]> {
    this.send(association.begin(operations), address)
    for (;;) {
      const frame = await this.next()
      if (frame.source !== address.logicalDevice || frame.destination !== address.client)
        throw new Error('misdirected')
      const step = association.receive(frame.apduView)
      if ('results' in step) return step.results
      if ('send' in step) this.send(step.send, address)
    }
  }
}

/** The code, or what the connection came to. */
export async function outcomeOf(exchange: Promise<unknown>): Promise<string> {
  try {
    await exchange
    return 'answered'
  } catch (error) {
    return error instanceof BrokerError ? error.code : (error as Error).message
  }
}
