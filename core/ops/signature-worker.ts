/**
 * The thread that verifies signatures: takes batches and answers each with an octet a signature.
 * Has no secrets, files or connections; started by signature-threads.ts.
 *
 *   batch:  for each check 64 x || y | 64 r || s | u32 octets that were signed | these octets
 */
import { parentPort } from 'node:worker_threads'
import { limits } from '../base/limits.ts'
import { PublicKey, verifyEcdsa } from '../crypto/crypto.ts'

const keys = new Map<string, PublicKey>()

function keyOf(point: Buffer): PublicKey | undefined {
  const name = point.toString('latin1')
  let key = keys.get(name)
  if (key === undefined) {
    key = PublicKey.of('P-256', point)
    if (key === undefined) return undefined
    if (keys.size >= limits.signatureKeysKeptMax) keys.clear()
    keys.set(name, key)
  }
  return key
}

export type SignatureBatch = { readonly count: number; readonly octets: Uint8Array }

function verified({ count, octets }: SignatureBatch): Uint8Array {
  const view = Buffer.from(octets.buffer, octets.byteOffset, octets.length)
  const verdicts = new Uint8Array(count)
  let at = 0
  for (let index = 0; index < count; index++) {
    const signedAt = at + 132
    const end = signedAt + view.readUInt32BE(at + 128)
    const key = keyOf(view.subarray(at, at + 64))
    const signature = view.subarray(at + 64, at + 128)
    const isGood = key !== undefined && verifyEcdsa(key, view.subarray(signedAt, end), signature)
    verdicts[index] = isGood ? 1 : 0
    at = end
  }
  return verdicts
}

parentPort?.on('message', (batch: SignatureBatch) => parentPort!.postMessage(verified(batch)))
