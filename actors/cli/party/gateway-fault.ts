/**
 * Why a gateway could not be called, found by one connection of its own: a gRPC client tells a
 * refused certificate from a closed port in prose alone.
 */
import { isIP, connect as connectPlain, type Socket } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import type { PartyCredentials } from '../../../core/access/credentials.ts'
import { explain } from '../../../core/base/error-table.ts'
import { parseHostPort } from '../../../core/base/host-port.ts'
import { limits } from '../../../core/base/limits.ts'

/** By the code of node or OpenSSL: what failed, and what to do about it. */
const sentences: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted',
  CERT_SIGNATURE_FAILURE: 'untrusted',
  CERT_HAS_EXPIRED: 'the certificate of the gateway has expired: the operator issues a new one',
  CERT_NOT_YET_VALID: 'the certificate of the gateway is not valid yet: compare the clocks',
  CERT_REVOKED: 'the certificate of the gateway was revoked: the operator issues a new one',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'the certificate of the gateway is for other names: call it by one of them, or issue it for this one (busbar pki init --hosts)',
  ERR_SSL_WRONG_VERSION_NUMBER: 'plain',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'plain',
  EPROTO: 'plain',
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: "the party's certificate and key do not belong together",
}
const shared: Readonly<Record<string, string>> = {
  untrusted:
    'the gateway shows a certificate of an authority that ca.crt does not have: use the folder of this gateway (--pki, BUSBAR_PKI), or ask its operator for ca.crt',
  plain:
    'the gateway answers without TLS: it runs with --insecure-party-header, or this is another port',
}
const alert =
  "the gateway rejected the party's certificate or the version of TLS in the handshake: have it issued again, and look at the log of the gateway"

/** What a socket failed with, or `open`; undefined when it is about no certificate. */
async function outcomeOf(open: () => Socket | TLSSocket, event: string): Promise<string> {
  let socket: Socket | TLSSocket | undefined
  try {
    return await new Promise<string>((resolve) => {
      socket = open()
      socket.setTimeout(limits.tlsHandshakeMsMax, () => resolve('ETIMEDOUT'))
      socket.once(event, () => resolve('open'))
      socket.once('error', ({ code = 'unknown' }: NodeJS.ErrnoException) => resolve(code))
      socket.once('close', () => resolve('ECONNRESET'))
    })
  } catch (error) {
    // Of files that OpenSSL does not take; it says which by a code.
    return (error as NodeJS.ErrnoException).code ?? 'unknown'
  } finally {
    socket?.destroy()
  }
}

/**
 * Why TLS with the gateway at `address`, `host:port`, fails, in a sentence with DOOR_TLS_FAILED;
 * undefined when that is not what fails, above all when nobody listens.
 */
export async function tlsFaultOf(
  address: string,
  { tls }: PartyCredentials,
): Promise<string | undefined> {
  const place = parseHostPort(address)
  if (place === undefined) return undefined
  const told = (what: string): string => `DOOR_TLS_FAILED ${explain('DOOR_TLS_FAILED', what)}`
  if (tls === undefined) {
    const isOpen = (await outcomeOf(() => connectPlain(place), 'connect')) === 'open'
    const what =
      'the call was made without TLS: name the folder with the certificate of the party (--pki, BUSBAR_PKI)'
    return isOpen ? told(what) : undefined
  }
  const { caPem: ca, certificatePem: cert, keyPem: key } = tls
  const servername = isIP(place.host) === 0 ? { servername: place.host } : {}
  const open = (): TLSSocket =>
    connect({
      ...place,
      ...servername,
      ca,
      cert,
      key,
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['h2'],
    })
  const code = await outcomeOf(open, 'secureConnect')
  const found = sentences[code]
  if (found !== undefined) return told(`${shared[found] ?? found}; ${code}`)
  return /^ERR_(?:SSL|OSSL|TLS)/.test(code) ? told(`${alert}; ${code}`) : undefined
}
