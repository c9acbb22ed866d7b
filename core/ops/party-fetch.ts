/**
 * `fetch` for the HTTP door of parties, as far as our own clients need it: over TLS with the
 * certificate of a party, which `fetch` cannot send, or in the clear.
 */
import { Agent, request } from 'node:https'
import type { PartyCertificateFiles } from '../access/credentials.ts'
import { limits } from '../base/limits.ts'
import { directFetch } from './direct-fetch.ts'

export type PartyFetch = typeof fetch

/** One agent, which keeps its connections, for each party. */
export function partyFetchOf(tls: PartyCertificateFiles | undefined): PartyFetch {
  if (tls === undefined) return directFetch
  const { caPem: ca, certificatePem: cert, keyPem: key } = tls
  const agent = new Agent({ ca, cert, key, keepAlive: true, minVersion: 'TLSv1.3' })
  return async (input, init) => {
    const asked = new Request(input, init)
    const body = Buffer.from(await asked.arrayBuffer())
    const { method, url, signal } = asked
    const headers = Object.fromEntries(asked.headers)
    return new Promise<Response>((resolve, reject) => {
      const call = request(url, { method, headers, agent, signal }, (answer) => {
        const chunks: Buffer[] = []
        let bytes = 0
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > limits.clientMessageBytesMax)
            answer.destroy(new Error('the answer is too large'))
          chunks.push(chunk)
        })
        answer.once('error', reject)
        answer.once('end', () => {
          const status = answer.statusCode ?? 500
          const hasBody = ![204, 205, 304].includes(status)
          const head = new Headers()
          for (const [name, value] of Object.entries(answer.headers))
            if (value !== undefined) head.set(name, String(value))
          resolve(new Response(hasBody ? Buffer.concat(chunks) : null, { status, headers: head }))
        })
      })
      // As `fetch` reports that nobody listens.
      call.once('error', (cause) => reject(new TypeError('fetch failed', { cause })))
      call.end(body.length > 0 ? body : undefined)
    })
  }
}
