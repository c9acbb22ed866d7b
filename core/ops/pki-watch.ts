/**
 * The certificates of a running gateway: read from the folder of `--pki`, and again whenever one of
 * its files has changed. Files that cannot be used change nothing: what was good goes on, and the
 * operator is told.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import type { CertificateSource, DoorCertificates } from '../pki/certificate-source.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { doorFileNames, readDoorFiles } from './pki-folder.ts'

export class PkiWatch implements CertificateSource {
  current: DoorCertificates
  /** Why the files are not used as they are now; undefined while they are. */
  trouble: string | undefined
  private readonly folder: string
  private readonly clock: Clock
  private readonly log: Log
  private readonly listeners = new Set<() => void>()
  private mark: string
  private disarm: () => void = () => undefined

  /** @throws BrokerError PKI_FILE_INVALID */
  constructor(folder: string, { clock, log }: { clock: Clock; log: Log }) {
    this.folder = folder
    this.clock = clock
    this.log = log
    this.mark = markOf(folder)
    this.current = usable(folder)
    this.arm()
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  close(): void {
    this.disarm()
  }

  private arm(): void {
    this.disarm = this.clock.at(this.clock.now() + limits.certificateLookMs, () => {
      this.look()
      this.arm()
    })
  }

  private look(): void {
    const mark = markOf(this.folder)
    if (mark === this.mark) return
    this.mark = mark
    try {
      this.current = usable(this.folder)
      this.trouble = undefined
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      this.trouble = fault.message
      // A certificate whose key comes a moment later is read at the next look.
      this.log.error({ fault: fault.message }, 'the certificate files are not used as they are now')
      return
    }
    this.log.info({ folder: this.folder }, 'the certificate files were read again')
    for (const listener of this.listeners) listener()
  }
}

/** Changes whenever one of the files does: they are few and small. */
function markOf(folder: string): string {
  const hash = createHash('sha256')
  for (const name of doorFileNames) {
    hash.update(`\n${name}\n`)
    try {
      hash.update(readFileSync(join(folder, name)))
    } catch {
      // Not there, or not to be read: that is what is marked; reading them says why.
    }
  }
  return hash.digest('hex')
}

/** @throws BrokerError PKI_FILE_INVALID */
function usable(folder: string): DoorCertificates {
  const files = readDoorFiles(folder)
  try {
    createSecureContext({ ca: files.caPem, cert: files.serverPem, key: files.serverKeyPem })
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException
    throw new BrokerError(
      'PKI_FILE_INVALID',
      `${join(folder, 'server.crt')} and server.key are not a certificate and its key (${code})`,
    )
  }
  return files
}
