/**
 * Mutual TLS of the party doors: which certificate each connection came with, and whether it is
 * still good. A connection without a good one is let in and each of its calls is refused with the
 * reason: a failed handshake could not say it. Connections whose certificate is good no longer
 * (revoked, expired, its authority gone) are closed at the next look.
 *
 * TLS 1.3 alone, so there is no renegotiation. No session tickets: a resumed session would bring a
 * certificate from before, and every handshake proves its key.
 */
import { constants } from 'node:crypto'
import type { Socket } from 'node:net'
import type { SecureContextOptions, TlsOptions, TLSSocket } from 'node:tls'
import type { ConnectionCertificate } from '../access/identity.ts'
import { limits } from '../base/limits.ts'
import { textOfEui64 } from '../base/eui64.ts'
import type { DoorTls } from '../http/door-tls.ts'
import type { CertificateSource } from '../pki/certificate-source.ts'
import { checkPartyCertificate, recheckParty, type CertificateRefusal } from '../pki/party-check.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Counter, Metrics } from '../ports/metrics.ts'

export type PartyTlsPorts = {
  certificates: CertificateSource
  clock: Clock
  log: Log
  metrics: Metrics
}

const missing: CertificateRefusal = { code: 'PARTY_CERTIFICATE_MISSING' }

type Peer = { readonly der: Buffer | undefined; verdict: ConnectionCertificate }

export class PartyTls implements DoorTls {
  private readonly ports: PartyTlsPorts
  /** Connections of all doors. */
  private readonly peers = new Map<Socket, Peer>()
  private readonly listeners: ((context: SecureContextOptions) => void)[] = []
  private readonly closed: Counter
  private readonly stopFollowing: () => void
  private disarm: (() => void) | undefined

  constructor(ports: PartyTlsPorts) {
    this.ports = ports
    const { metrics, certificates } = ports
    this.closed = metrics.counter(
      'busbar_certificate_connections_closed_total',
      'Connections of parties that were closed because their certificate was good no longer',
    )
    this.stopFollowing = certificates.onChange(() => this.replaced())
  }

  get options(): TlsOptions {
    return {
      ...this.context,
      requestCert: true,
      // Checked here, against the profile, so that a refusal has its code.
      rejectUnauthorized: false,
      handshakeTimeout: limits.tlsHandshakeMsMax,
    }
  }

  private get context(): SecureContextOptions {
    const { caPem, serverPem, serverKeyPem } = this.ports.certificates.current
    return {
      ca: caPem,
      cert: serverPem,
      key: serverKeyPem,
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      secureOptions: constants.SSL_OP_NO_TICKET,
    }
  }

  onReplaced(listener: (context: SecureContextOptions) => void): void {
    this.listeners.push(listener)
  }

  opened(socket: TLSSocket): void {
    const der = socket.getPeerX509Certificate()?.raw
    const peer = { der, verdict: this.check(der) }
    this.peers.set(socket, peer)
    socket.once('close', () => this.peers.delete(socket))
    this.arm()
  }

  /** What the connection came with; a connection that is not known brought nothing. */
  certificateOf(socket: Socket | undefined): ConnectionCertificate {
    return (socket && this.peers.get(socket)?.verdict) ?? missing
  }

  close(): void {
    this.stopFollowing()
    this.disarm?.()
    this.disarm = undefined
  }

  private check(der: Buffer | undefined): ConnectionCertificate {
    if (der === undefined) return missing
    const { certificates, clock } = this.ports
    return checkPartyCertificate(der, clock.now(), certificates.current.trust)
  }

  private replaced(): void {
    for (const listener of this.listeners) listener(this.context)
    // What was refused may be good now: the same connection is not refused for ever.
    for (const peer of this.peers.values())
      if ('code' in peer.verdict) peer.verdict = this.check(peer.der)
    this.look()
  }

  private arm(): void {
    const { clock } = this.ports
    this.disarm ??= clock.at(clock.now() + limits.certificateLookMs, () => {
      this.disarm = undefined
      this.look()
      if (this.peers.size > 0) this.arm()
    })
  }

  private look(): void {
    const { clock, certificates, log } = this.ports
    const nowMs = clock.now()
    for (const [socket, peer] of this.peers) {
      const { verdict } = peer
      if ('code' in verdict) {
        if (verdict.code === 'PARTY_CERTIFICATE_NOT_YET_VALID') peer.verdict = this.check(peer.der)
        continue
      }
      const refusal = recheckParty(verdict, nowMs, certificates.current.trust)
      if (refusal === undefined) continue
      peer.verdict = refusal
      this.closed.add()
      const party = textOfEui64(verdict.eui64)
      log.warn({ party, code: refusal.code }, 'a connection was closed: its certificate')
      socket.destroy()
    }
  }
}
