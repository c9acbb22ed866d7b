/**
 * Options of the client's association, for meters that deviate from what this codec does by itself.
 */
import type { CosemOperation } from '../../ports/wan.ts'
import type { ClientCredentials } from './association.ts'
import type { ShortNameBook, ShortNames } from './short-name.ts'

/** How a meter is spoken to, where it deviates from what this codec does by itself. */
export type ClientOptions = ClientCredentials & {
  /** What the meter is told that we can receive, at most 65,535. */
  apduBytesMax?: number | undefined
  /**
   * The invoke id that a client before this one used last with the same meter: answers to it that
   * come late are told from answers to us.
   */
  invokeIdLast?: number | undefined
  /** What is proposed; all that this codec can when left out. */
  conformance?: number | undefined
  /** Bits of what this codec can that are not proposed. */
  conformanceWithout?: number | undefined
  /**
   * What becomes of a GET with a selection: `given`, it goes out whatever was agreed to; `agreed`,
   * without a selection where the meter does not agree to selective access; `never`, without one.
   * Results of the last two say that they are whole. `given` when left out.
   */
  selections?: 'given' | 'agreed' | 'never' | undefined
  /**
   * The kinds that go in lists when the meter agrees to lists: GET alone when left out, since lists
   * of the others are rarely right in meters.
   */
  lists?: ReadonlySet<CosemOperation['kind']> | undefined
  /** Takes ACCESS for everything when the meter agrees to it and to general blocks. */
  prefersAccess?: boolean | undefined
  /**
   * Puts every service in general blocks when the meter agrees to them, so that long answers
   * stream.
   */
  prefersGeneralBlocks?: boolean | undefined
  /**
   * APDUs come in datagrams, twice or late: what answers nothing that was asked is passed over, and
   * does not end the association.
   */
  isUnordered?: boolean | undefined
  /** General blocks that we take at once. */
  generalBlockWindow?: number | undefined
  /**
   * With it the meter is spoken to by short names; an operation on what has none asks for a name
   * that no object has. A book without names is filled from the meter's object list first.
   */
  shortNames?: ShortNames | ShortNameBook | undefined
  /**
   * The association is there already, with `conformance` and APDUs of `apduBytesMax`: no AARQ, and
   * nothing to release.
   */
  isPreEstablished?: boolean | undefined
}
