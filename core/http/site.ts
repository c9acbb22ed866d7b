/**
 * Whether a call is for this door and comes from no other site: what Host, Origin and
 * Sec-Fetch-Site must say. A browser sends calls for any page that it shows, also to loopback
 * (cross-site request forgery), and to names that their owner points at loopback meanwhile (DNS
 * rebinding). Pure.
 * @source RFC 9110 7.2, 7.4; RFC 9112 3.2; RFC 6454; Fetch Metadata Request Headers
 */
import { limits } from '../base/limits.ts'
export type SiteOptions = {
  /** What the door listens on, without brackets: an address or a name. */
  readonly listenHost: string
  /** Further names of the door: `host`, or `host:port` for that port alone. */
  readonly hosts: readonly string[]
  /** Origins of pages that may call, for example `https://console.example`. */
  readonly origins: readonly string[]
}

/** `malformed`: not a host of a URI; `unknown`: not one of this door. */
export type HostFault = 'malformed' | 'unknown'

type Authority = { readonly host: string; readonly port: string }

const authorityText = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/
const loopbackHost = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/
const wildcardHost = /^(0\.0\.0\.0|\[::\])$/
const addressHost = /^(\d{1,3}(\.\d{1,3}){3}|\[.*\])$/

/** A host as browsers write it, so that ::1 and 0:0::1 are one; undefined for other text. */
function authorityOf(text: string): Authority | undefined {
  const [, host, port = ''] = authorityText.exec(text) ?? []
  if (host === undefined) return undefined
  const url = `http://${host.replace(/\.$/, '')}`
  if (!URL.canParse(url)) return undefined
  return { host: new URL(url).hostname, port }
}

/** An address that sockets give, as the host of a URI: `::` as `[::]`. */
const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)

export class Site {
  private readonly listen: string
  private readonly hosts: readonly Authority[]
  private readonly origins: ReadonlySet<string>
  /** Texts that name the door, as they were sent. */
  private readonly remembered = new Set<string>()

  constructor({ listenHost, hosts, origins }: SiteOptions) {
    this.listen = authorityOf(bracketed(listenHost.replace(/%.*$/, '')))?.host ?? listenHost
    this.hosts = hosts.flatMap((host) => authorityOf(host) ?? [])
    this.origins = new Set(origins.map((origin) => origin.toLowerCase()))
  }

  /** What is wrong with the header Host, or with the authority of an absolute target. */
  hostFault(text: string): HostFault | undefined {
    if (this.remembered.has(text)) return undefined
    const authority = authorityOf(text)
    const fault =
      authority === undefined ? 'malformed' : this.isOurs(authority) ? undefined : 'unknown'
    if (fault === undefined && this.remembered.size < limits.httpHostsRememberedMax)
      this.remembered.add(text)
    return fault
  }

  private isOurs({ host, port }: Authority): boolean {
    if (host === this.listen) return true
    const isConfigured = this.hosts.some(
      (one) => one.host === host && (one.port === '' || one.port === port),
    )
    if (isConfigured) return true
    if (wildcardHost.test(this.listen))
      // Nobody can point an address elsewhere, and this machine may have others than it knows of.
      return loopbackHost.test(host) || addressHost.test(host)
    return loopbackHost.test(this.listen) && loopbackHost.test(host)
  }

  /** Whether the operator lets pages of this origin, which is not the door's own, call. */
  isForeignOrigin(origin: string): boolean {
    return this.origins.has(origin.toLowerCase())
  }

  /**
   * Whether the call is from a page of this door, of a configured origin, or of no page at all.
   * @param authority the call's own host and port, as checked by `hostFault`
   */
  isWelcome(
    origin: string | undefined,
    fetchSite: string | undefined,
    authority: string | undefined,
  ): boolean {
    if (origin === undefined)
      return fetchSite === undefined || fetchSite === 'same-origin' || fetchSite === 'none'
    if (this.isForeignOrigin(origin)) return true
    const isOwn = isSameOrigin(origin, authority)
    return isOwn && (fetchSite === undefined || fetchSite === 'same-origin' || fetchSite === 'none')
  }
}

/** A proxy in front may speak https, so both schemes are the door's own. */
function isSameOrigin(origin: string, authority: string | undefined): boolean {
  const [, scheme, text] = /^(https?):\/\/([^/?#]+)$/i.exec(origin) ?? []
  const given = text === undefined ? undefined : authorityOf(text)
  const own = authority === undefined ? undefined : authorityOf(authority)
  if (scheme === undefined || given === undefined || own === undefined) return false
  const usual = scheme.toLowerCase() === 'http' ? '80' : '443'
  return given.host === own.host && (given.port || usual) === (own.port || usual)
}

/** Whether `text` may stand in `hosts`. */
export const isHostText = (text: string): boolean => authorityOf(text) !== undefined

/** Whether `text` may stand in `origins`: scheme, host and perhaps a port, nothing behind them. */
export const isOriginText = (text: string): boolean =>
  URL.canParse(text) && new URL(text).origin === text.toLowerCase()
