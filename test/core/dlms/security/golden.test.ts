/**
 * Published examples of what is ciphered, signed, agreed and proved: the octets of the standard's
 * tables, both ways. Those of a single glo-get-request are in channel.test.ts, of the algorithms by
 * themselves (GCM, key wrap, hashes, ECDSA, ECDH) in ports/crypto.test.ts.
 */
import t from 'tap'
import { decodeApdu, encodeApdu } from '../../../../core/dlms/apdu/codec.ts'
import { DlmsClient } from '../../../../core/dlms/client/client.ts'
import {
  Mechanism,
  deriveKey,
  HlsAuthentication,
  InvocationCounter,
  KeyId,
  openEphemeralKey,
  SecurityChannel,
  Shape,
  signedEphemeralKey,
  standardProfile,
  suites,
  type HlsOptions,
} from '../../../../core/dlms/security/index.ts'
import { partyWithNonce } from '../../../../core/dlms/security/key-agreement.ts'
import { vectorOf } from '../../../../core/dlms/security/aes-protection.ts'
import {
  PrivateKey,
  PublicKey,
  SecretKey,
  sharedSecret,
  streamGcm,
  tagBytes,
} from '../../../../core/crypto/crypto.ts'
import { outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
const privateKey = (text: string): PrivateKey => PrivateKey.of('P-256', hex(text))!

/** Keys and titles that all examples have. [Green Book ed. 8, Tables 40 and 43, annex C] */
const keys = {
  unicast: new SecretKey(hex('000102030405060708090a0b0c0d0e0f')),
  authentication: new SecretKey(hex('d0d1d2d3d4d5d6d7d8d9dadbdcdddedf')),
}
const titles = { bc614e: hex('4d4d4d0000bc614e'), one: hex('4d4d4d0000000001') }

t.test('high level security with GMAC [Green Book ed. 8, Table 43]', async (t) => {
  const [ctos, stoc] = [Buffer.from('K56iVagY'), Buffer.from('P6wRJ21F')]
  const shared = { mechanism: Mechanism.HIGH_GMAC, suite: suites[0], keys }
  const client: HlsOptions = {
    ...shared,
    ownTitle: titles.one,
    peerTitle: titles.bc614e,
    ownChallenge: ctos,
    peerChallenge: stoc,
    counter: new InvocationCounter(1),
  }
  const server: HlsOptions = {
    ...shared,
    ownTitle: titles.bc614e,
    peerTitle: titles.one,
    ownChallenge: stoc,
    peerChallenge: ctos,
    counter: new InvocationCounter(0x01234567),
  }
  const [ours, theirs] = [new HlsAuthentication(client), new HlsAuthentication(server)]
  const proofs = {
    client: '10 00000001 1a52fe7dd3e72748973c1e28',
    server: '10 01234567 fe1466afb3dbcd4f9389e2b7',
  }
  t.same(ours.proof(), hex(proofs.client))
  t.same(theirs.proof(), hex(proofs.server))
  theirs.check(hex(proofs.client))
  ours.check(hex(proofs.server))
})

t.test(
  'AARQ, RLRQ and RLRE with ciphered user information [Green Book ed. 8, 11, encoding examples]',
  async (t) => {
    // Low level security, a dedicated key, suite 0; one counter for all of them.
    const dedicatedKey = new SecretKey(hex('00112233445566778899aabbccddeeff'))
    const client = new DlmsClient({
      secret: Buffer.from('12345678'),
      conformance: 0x007e1f,
      apduBytesMax: 0x04b0,
      security: {
        suite: suites[0],
        ownTitle: titles.bc614e,
        keys,
        counters: { unicast: new InvocationCounter(0x01234567) },
        choice: { shape: Shape.DEDICATED, protection: 0x30 },
        dedicatedKey,
      },
    })
    const initiate = `21303001234567 801302ff8a7874133d414ced25b42534d28db0047720606b175bd52211be68
    41db204d39ee6fdb8e356855`
    t.same(
      client.begin([{ kind: 'get', descriptor: hex('0008 0000010000ff 02') }]),
      hex(`6066 a109060760857405080103 a60a04084d4d4d0000bc614e 8a020780 8b0760857405080201
      ac0a80083132333435363738 be340432 ${initiate}`),
    )
    // The example's server has the client's title too: it takes a channel of somebody else to open
    // what it says.
    const response = '281f3001234567 891214a0845e475714383f65bc19745ca235906525e4f3e1c893'
    const channelTo = (): SecurityChannel =>
      new SecurityChannel({
        role: 'client',
        suite: suites[0],
        ownTitle: titles.one,
        peerTitle: titles.bc614e,
        keys,
        counters: {},
      })
    const plain = '0800065f1f0400007c1f04000007'
    t.same(channelTo().unprotect(hex(response)), hex(plain))
    t.match(decodeApdu(hex(plain)), {
      negotiatedConformance: 0x007c1f,
      serverMaxReceivePduSize: 0x0400,
    })
    const sender = new SecurityChannel({
      role: 'server',
      suite: suites[0],
      ownTitle: titles.bc614e,
      keys,
      counters: { unicast: new InvocationCounter(0x01234567) },
    })
    t.same(sender.protect(hex(plain), { shape: Shape.GLOBAL, protection: 0x30 }), hex(response))
    const rlre = hex(`6328 800100 be230421 ${response}`)
    const decoded = decodeApdu(rlre)
    t.match(decoded, {
      type: 'rlre',
      reason: 0,
      userInformation: { type: 'glo-initiate-response' },
    })
    t.same(encodeApdu(decoded), rlre)
  },
)

/** Of annex C: what client and server sign with, agree with, and make up for one agreement. */
const annexC = {
  clientSigning: privateKey('418073c239fa6125011de4d6cd2e645780289f761bb21bfb0835cb5585e8b373'),
  serverSigning: privateKey('ae55414ffe079f9fc95649536bd1c2b5653d200813727e07d501a8b550c69207'),
  clientAgreement: privateKey('a51c16ff5c498fcc89323d4a9267cd71bf81fd6f6a891cd240da7f3d6f283e65'),
  serverAgreement: privateKey('aad3fd0732e991cf52a74c66c1f2827ddc53522a2e0a169d7c4ffcc0fb5d6a4d'),
}
const accessRequest =
  hex(`d940000000000401 00010000600100ff02 0100080000010000ff02 02001400000d0000ff07
  02001400000d0000ff08 04 00 00 0104 0203090100090cffffffffffffff00000000000901ff
  0203090101090cffffffffffffff00000000000901ff 0203090102090cffffffffffffff00000000000901ff
  0203090103090cffffffffffffff00000000000901ff 0104 020809010011ff11ff11ff11ff11ff11ff11ff
  02080901011102110111011101110111011101 020809010211ff11ff11ff11ff11ff11ff11ff
  02080901031101110211021102110211021102`)
/**
 * The content of a general-ciphering APDU of the annex: its invocation counter is 0. Its tag is not
 * of the keys that the annex has.
 */
const contentOf = (key: SecretKey, ciphered: Buffer): Buffer =>
  streamGcm(key, vectorOf(titles.bc614e), ciphered.subarray(0, -tagBytes))

t.test('ephemeral unified model, of a key agreement [Green Book ed. 8, Table C.1]', async (t) => {
  const { clientSigning } = annexC
  const ephemeral = hex(`2914d60e10ab705f62ed6cc349d7cb99b9ab3f3978e59278c7af595b3af98794
    1372dab6d5af1fa867e134167e6f23de664a6693e05f43414611058d1b48f894`)
  const signature = hex(`06f0607702aa0e2435a183e2f6b1ecd19629712e389a213610c03f77b2590860
    ea840af5c3fa1f2bcdf055d4744e9a01ce9a0e55026bcaa4eebeb764ced64bb3`)
  const sent = Buffer.concat([ephemeral, signature])
  // The key id is signed with it.
  const opened = openEphemeralKey(suites[1], KeyId.GLOBAL_UNICAST, sent, clientSigning.publicKey)
  t.same(opened.pointBytes, ephemeral)
  t.equal(
    outcomeOf(() => openEphemeralKey(suites[1], KeyId.MASTER, sent, clientSigning.publicKey)).code,
    'DLMS_SIGNATURE_WRONG',
  )
  const server = privateKey('34a8c23a34dbb519d09b245754c85a6cfe05d14a063efa5aa41545aa8241efae')
  t.same(
    sharedSecret(server, opened),
    hex('c1cf8fe7891aef3617d7190795e61fe6c24efc3cca2e08469bad1a225ce6ea08'),
  )
})

t.test('one-pass Diffie-Hellman, of an APDU [Green Book ed. 8, Tables 41 and C.2]', async (t) => {
  const { clientSigning, serverSigning, clientAgreement, serverAgreement } = annexC
  const apdu =
    hex(`dd 080102030405060708 084d4d4d0000bc614e 084d4d4d0000000001 00 00 01 02 0101 8180
    c323c2bd45711de4688637d919f92e9db8fb2dfc213a88d21c9dc8dcba917d81
    70511de1badb360d50058f794b0960ae11fa28d392cff907a62d13e3357b1dc0
    b51be089d0b682863b2217201e73a1a9031968a9b4121dcbc3281a69739af874
    29f5b3ac5471e7b6a04a2c0f2f8a25fd772a317df97fc5463feac248eb8ab8be
    81eb 31 00000000 f435069679270c5bf4425ee5777402a6c8d51c620eed52dbb188378b836e2857
    d5c053e6ddf27fa87409aef502cd9618ae47017c010224fd109cc0beb21e742d44ab40cd11908743
    ec90ec8c40e221d517f72228e1a26e827f43dc18ed27b5f458d66508b05a2a4cc6fed178c881afc3
    bc67064689be8bb41c80abb3c114a31f4cb03b8b64c7e0b4ce77b2399c93347858888f92239713b3
    8df01c4858245827a92ef334172ea636b31cbbdf2a96ad5d035f66aa38f1a2d97d4bba99622e6b5f
    18789cecb2dfb3937d9f3e17f8b472098e6563238f37528374809836002aea6e7012d2adfaa7`)
  const decoded = decodeApdu(apdu)
  t.same(encodeApdu(decoded), apdu)
  if (decoded.type !== 'general-ciphering' || decoded.keyInfo?.type !== 'agreed-key')
    return t.fail('an agreed key')
  const { keyCipheredDataView } = decoded.keyInfo
  // Here the ephemeral key is signed alone, and that is how we sign it.
  const ephemeral = openEphemeralKey(suites[1], 1, keyCipheredDataView, clientSigning.publicKey)
  const ours = signedEphemeralKey(1, ephemeral, clientSigning, standardProfile.ephemeralSignature)
  openEphemeralKey(suites[1], 99, ours, clientSigning.publicKey)
  const z = sharedSecret(serverAgreement, ephemeral)
  t.same(z, hex('0d4385ba0dd756cbcab9887eb538396ee8f090a14c1079b4359f115b977f4615'))
  const key = deriveKey(suites[1], KeyId.GLOBAL_UNICAST, z, titles.bc614e, titles.one)
  t.same(key.copyOfOctets(), hex('59a71fd81c929a86a99438da17a66c05'))
  t.same(contentOf(key, decoded.ciphered.contentView), accessRequest)
  // What the server answers with: party U is who sends.
  const answered = hex(`6439724714b47cd9cb988897d8424ab946dcd083d37a954637616011b9c23787
    73295f0f850d8dafd1bbe9fe666e53e4f097cd10b38b69622152724a90987444
    e1ff47974a1f6931a6502f58147463f0e8cc517d47f55b0ac56dd8ac5c9d0e48
    1934f2d90f9893016bd82b6e3ffe21ff1588f3278b4e9d98eb4fb62add64b380`)
  const back = sharedSecret(
    clientAgreement,
    openEphemeralKey(suites[1], 1, answered, serverSigning.publicKey),
  )
  t.same(back, hex('2b4302dc49790e2e78d990cfb52ed6e2f273dece441a2d95e4301b93812a9fac'))
  t.same(
    deriveKey(suites[1], KeyId.GLOBAL_UNICAST, back, titles.one, titles.bc614e).copyOfOctets(),
    hex('f0184bda9466bfa4601a64a7ef46504a'),
  )
})

t.test('static unified model, of an APDU [Green Book ed. 8, Table C.3]', async (t) => {
  const { clientAgreement, serverAgreement } = annexC
  const z = sharedSecret(clientAgreement, serverAgreement.publicKey)
  const partyV = partyWithNonce(hex('0102030405060708'), titles.one, standardProfile.agreementNonce)
  const key = deriveKey(suites[1], KeyId.GLOBAL_UNICAST, z, titles.bc614e, partyV)
  t.same(key.copyOfOctets(), hex('56c46b57df675515c31025455822514a'))
  const ciphered = hex(`607581d83815281b561904e6a72b83bf3fb0b1f2a0a23a82a804b39911f6cb1b4ef9b6f7
    6c6338ed058014ffbf4a13a162e0eed11eeb8f597757a18215f28e1d3fc2d44586c4b8afe4500b535b579506
    cdb925cbeff7f1cf6bf96c583b9cf588fe8f6b01a574824d7cec597f057ffa8700af12ad63a7fa72040439f4
    392c089b265f9eb1ac308239906dc04e1a8712abe383cf92349842eba166ef2e9eb2f53d0dba025d79875463
    398bbc3007bc4a6fc12780c21ee1abf080bf0fa926242834c0ac30d55a1ef8856e7ded48621f17fdf4d5b54e
    dd add874119251049b6aee111c12fbc2feaf`)
  t.same(contentOf(key, ciphered), accessRequest)
})

t.test('points of annex C', async (t) => {
  const points: [PrivateKey, string][] = [
    [
      annexC.clientSigning,
      `baaffde06a8cb1c9dae8d94023c601dbbb249254ba22edd827e820bca2bcc643
       62fbb83d86a82b87bb8b7161d2aab5521911a946b97a284a90f7785cd9047d25`,
    ],
    [
      annexC.serverSigning,
      `933acf15b03a9248e029b2787fb52a0aecaf635f07c42a0019fb3197e38f8f54
       9a125ea36781b0ca96be89a0e1fe2cf9b7361ed48b3c5e24592b9c0f4edd31d1`,
    ],
    [
      annexC.clientAgreement,
      `07c56de2dcaf0fd793ef29f019c89b4a0cc1e001ce94f4ffbe10bc05e7e66f76
       71a13fbcf9e662b9826fff6a6938546d524ed6d3405f020296bde16b04f7a7c2`,
    ],
    [
      annexC.serverAgreement,
      `a653565b0e06070bae9fbe140a5d2156812aee2dd525053e3efc850bf13bfdff
       cb240bc7b77bff5883344e7275908d2287befa3725017295a096989d2338290b`,
    ],
  ]
  for (const [key, point] of points) {
    t.same(key.publicKey.pointBytes, hex(point))
    t.ok(PublicKey.of('P-256', hex(point)))
  }
})
