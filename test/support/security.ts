/**
 * Two ends of one protected association, with keys of all kinds, for the tests, the fuzzer and the
 * bench.
 */
import {
  InvocationCounter,
  SecurityChannel,
  type ChannelOptions,
  type Suite,
} from '../../core/dlms/security/index.ts'
import { PrivateKey, SecretKey } from '../../core/crypto/crypto.ts'
import { seededRandom } from '../../core/ports/random.ts'

export const clientTitle = Buffer.from('4d4d4d0000000001', 'hex')
export const meterTitle = Buffer.from('4d45544552000007', 'hex')

/**
 * Unicast, broadcast, authentication, master and dedicated key of a suite; always the same ones.
 */
export function secretKeys({ id, keyBytes }: Suite): SecretKey[] {
  const random = seededRandom(100 + id)
  return Array.from({ length: 5 }, () => SecretKey.random(random, keyBytes))
}

const elliptic = new Map(
  (['P-256', 'P-384'] as const).map((curve) => [
    curve,
    Array.from({ length: 4 }, () => PrivateKey.generate(curve)),
  ]),
)

/**
 * `options` stand in the place of what both ends have by default; `ownTitle` and `peerTitle` are
 * the client's.
 */
export function channelPair(
  suite: Suite,
  options: Partial<ChannelOptions> = {},
): { client: SecurityChannel; meter: SecurityChannel; options: ChannelOptions } {
  const [unicast, broadcast, authentication, master, dedicated] = secretKeys(suite)
  const [clientSigning, clientAgreement, meterSigning, meterAgreement] =
    suite.curve === undefined ? [] : elliptic.get(suite.curve)!
  const shared = { unicast, broadcast, authentication, master }
  const counters = (): ChannelOptions['counters'] => ({
    unicast: new InvocationCounter(),
    broadcast: new InvocationCounter(),
    session: new InvocationCounter(),
  })
  const clientOptions: ChannelOptions = {
    role: 'client',
    suite,
    ownTitle: clientTitle,
    peerTitle: meterTitle,
    random: seededRandom(suite.id + 1),
    counters: counters(),
    keys: {
      ...shared,
      signing: clientSigning,
      agreement: clientAgreement,
      peerSigning: meterSigning?.publicKey,
      peerAgreement: meterAgreement?.publicKey,
    },
    ...options,
  }
  const client = new SecurityChannel(clientOptions)
  const meter = new SecurityChannel({
    ...clientOptions,
    role: 'server',
    ownTitle: meterTitle,
    peerTitle: clientTitle,
    random: seededRandom(suite.id + 1000),
    counters: counters(),
    keys: {
      ...shared,
      signing: meterSigning,
      agreement: meterAgreement,
      peerSigning: clientSigning?.publicKey,
      peerAgreement: clientAgreement?.publicKey,
    },
  })
  client.setDedicatedKey(dedicated!)
  meter.setDedicatedKey(dedicated!)
  return { client, meter, options: clientOptions }
}
