/**
 * Verifies signatures on threads beside the event loop: each call is a batch for one of them, which
 * answers its batches in order. Threads start with the first batch, and again after one has died:
 * what it had is rejected.
 */
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { limits } from '../base/limits.ts'
import type { Log } from '../ports/log.ts'
import type { SignatureCheck, SignatureVerifier } from '../ports/signatures.ts'
import type { SignatureBatch } from './signature-worker.ts'

const checkBytes = 132

type Waiting = { resolve: (verdicts: Uint8Array) => void; reject: (fault: Error) => void }

class Thread {
  readonly waiting: Waiting[] = []
  private readonly worker: Worker

  constructor(onEnd: (thread: Thread, fault: unknown) => void) {
    // TypeScript in a clone, compiled JavaScript in an installed package, as this file.
    const file = `signature-worker${extname(import.meta.url)}`
    this.worker = new Worker(new URL(file, import.meta.url), { env: {}, argv: [], execArgv: [] })
    this.worker.unref()
    this.worker.on('message', (verdicts: Uint8Array) => {
      this.waiting.shift()?.resolve(verdicts)
      if (this.waiting.length === 0) this.worker.unref()
    })
    let fault: unknown
    this.worker.once('error', (error) => (fault = error))
    this.worker.once('exit', (code) => {
      const reason = fault ?? new Error(`a thread that verifies ended with ${code}`)
      for (const { reject } of this.waiting.splice(0)) reject(reason as Error)
      onEnd(this, reason)
    })
  }

  verify(batch: SignatureBatch): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      // A process ends while a thread is idle, and not before one that works has answered.
      if (this.waiting.push({ resolve, reject }) === 1) this.worker.ref()
      this.worker.postMessage(batch, [batch.octets.buffer as ArrayBuffer])
    })
  }

  async close(): Promise<void> {
    await this.worker.terminate()
  }
}

export class SignatureThreads implements SignatureVerifier {
  readonly batchesOutMax: number
  private readonly count: number
  private readonly log: Log
  private readonly threads = new Set<Thread>()
  private isClosed = false

  /** @param count  of threads; all processors but one when left out */
  constructor(log: Log, count = Math.max(1, availableParallelism() - 1)) {
    this.log = log
    this.count = Math.min(count, limits.signatureThreadsMax)
    this.batchesOutMax = this.count * limits.signatureBatchesOutMax
  }

  verify(checks: readonly SignatureCheck[]): Promise<Uint8Array> {
    if (this.isClosed) return Promise.reject(new Error('signatures are not verified any more'))
    return this.idlest().verify({ count: checks.length, octets: octetsOf(checks) })
  }

  async close(): Promise<void> {
    this.isClosed = true
    await Promise.all([...this.threads].map((thread) => thread.close()))
  }

  private idlest(): Thread {
    let found: Thread | undefined
    for (const thread of this.threads)
      if (found === undefined || thread.waiting.length < found.waiting.length) found = thread
    if (found !== undefined && (found.waiting.length === 0 || this.threads.size >= this.count))
      return found
    const fresh = new Thread((thread, fault) => {
      this.threads.delete(thread)
      if (!this.isClosed)
        this.log.error({ fault: String(fault) }, 'a thread that verifies signatures died')
    })
    this.threads.add(fresh)
    return fresh
  }
}

function octetsOf(checks: readonly SignatureCheck[]): Uint8Array {
  let bytes = 0
  for (const { signed } of checks) bytes += checkBytes + signed.length
  // Of its own: it is handed over, not copied.
  const octets = Buffer.from(new ArrayBuffer(bytes))
  let at = 0
  for (const { point, signature, signed } of checks) {
    octets.set(point, at)
    octets.set(signature, at + 64)
    octets.writeUInt32BE(signed.length, at + 128)
    octets.set(signed, at + checkBytes)
    at += checkBytes + signed.length
  }
  return octets
}
