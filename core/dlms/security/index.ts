/**
 * The door of DLMS/COSEM security: protection of APDUs, authentication, keys. Sans-io, both roles.
 */
export {
  blockCipherProof,
  challengeBytesFor,
  challengeBytesMax,
  challengeBytesMin,
  HlsAuthentication,
  isPassword,
  type HlsOptions,
  type MakerProof,
} from './authentication.ts'
export { holderOf, type Holder } from './certificate.ts'
export { SecurityChannel } from './channel.ts'
export {
  ReceivedProtection,
  type ChannelOptions,
  type ProtectionChoice,
  type ReceivingWindows,
  type SendingCounters,
  type SignaturePlace,
} from './channel-options.ts'
export { readSenderTitle, systemTitleOf } from './general-header.ts'
export { GeneralKey } from './general-ciphering.ts'
export {
  CounterWindow,
  counterWindowMax,
  InvocationCounter,
  invocationCounterMax,
  type CounterSource,
} from './invocation-counter.ts'
export {
  agreedSecret,
  deriveKey,
  ephemeralUnifiedKey,
  openEphemeralKey,
  signedEphemeralKey,
} from './key-agreement.ts'
export type { SecurityKeys } from './keys.ts'
export {
  isPlainAllowed,
  noSecurity,
  securityPolicyOf,
  securityPolicyValue,
  standardProfile,
  type SecurityPolicy,
  type SecurityProfile,
} from './policy.ts'
export { openSignedApdu, signApdu, type SignedApdu } from './signing.ts'
export {
  authenticatedEncrypted,
  GeneralTag,
  KeyId,
  Mechanism,
  Protection,
  Shape,
  shapeOfTag,
  suiteMask,
  suites,
  systemTitleBytes,
  type Suite,
} from './suite.ts'
export {
  PrivateKey,
  PublicKey,
  Secret,
  SecretKey,
  unwrapKey,
  wrapKey,
} from '../../crypto/crypto.ts'
export { systemRandom, type Random } from '../../ports/random.ts'
