/**
 * The bus within one process: frames arrive in the order they were sent, each in a turn of its own.
 * Faults are asked for by `onSend`. Frames are handed over as copies, because on a real bus they
 * are.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf } from '../../base/bytes.ts'
import type { Bus } from '../bus.ts'
import type { Clock } from '../clock.ts'
import { isMatching } from './subject.ts'

export type SimBusOptions = {
  clock: Clock
  /**
   * Called for every frame, answer and announcement: after how many ms it arrives, once for each
   * copy. `[0]` is the plain way, at once and in order; an empty list loses it, several double it,
   * different ones reorder.
   */
  onSend?: ((subject: string, frame: Uint8Array) => readonly number[]) | undefined
}

const plainly = [0]

type OnFrame = (frame: Buffer, reply: (frame: Uint8Array) => void) => void

export class SimBus implements Bus {
  private readonly options: SimBusOptions
  private readonly servers = new Map<string, OnFrame>()
  private readonly listeners = new Map<string, Set<(data: Buffer) => void>>()

  constructor(options: SimBusOptions) {
    this.options = options
  }

  private send(subject: string, frame: Uint8Array, arrive: () => void): void {
    const { clock, onSend } = this.options
    for (const delayMs of onSend?.(subject, frame) ?? plainly) {
      if (delayMs === 0) queueMicrotask(arrive)
      else clock.at(clock.now() + delayMs, arrive)
    }
  }

  request(subject: string, frame: Uint8Array, timeoutMs: number): Promise<Buffer> {
    const { clock } = this.options
    const sent = copyOf(frame)
    return new Promise((resolve, reject) => {
      const cancel = clock.at(clock.now() + timeoutMs, () =>
        reject(new BrokerError('BROKER_PARTITION_UNAVAILABLE', `${subject} did not answer`)),
      )
      this.send(subject, sent, () => {
        const onFrame = this.servers.get(subject)
        if (onFrame === undefined) {
          cancel()
          reject(new BrokerError('BROKER_PARTITION_UNAVAILABLE', `nobody serves ${subject}`))
          return
        }
        onFrame(copyOf(sent), (answer) => {
          const answered = copyOf(answer)
          this.send(subject, answered, () => {
            cancel()
            resolve(answered)
          })
        })
      })
    })
  }

  serve(subject: string, onFrame: OnFrame): Promise<{ close(): Promise<void> }> {
    this.servers.set(subject, onFrame)
    return Promise.resolve({
      close: () => {
        if (this.servers.get(subject) === onFrame) this.servers.delete(subject)
        return Promise.resolve()
      },
    })
  }

  announce(subject: string, data: Uint8Array): void {
    const sent = copyOf(data)
    this.send(subject, sent, () => {
      for (const [pattern, listeners] of this.listeners) {
        if (isMatching(pattern, subject)) for (const listener of [...listeners]) listener(sent)
      }
    })
  }

  listen(subject: string, onData: (data: Buffer) => void): Promise<{ close(): Promise<void> }> {
    const listeners = this.listeners.get(subject) ?? new Set()
    this.listeners.set(subject, listeners)
    listeners.add(onData)
    return Promise.resolve({
      close: () => {
        listeners.delete(onData)
        return Promise.resolve()
      },
    })
  }
}
