/** The crypto door against published vectors, and that keys do not print. */
import { inspect } from 'node:util'
import t from 'tap'
import {
  digest,
  encipherBlocks,
  openGcm,
  PrivateKey,
  PublicKey,
  readCertificate,
  sameSecret,
  sealGcm,
  Secret,
  SecretKey,
  sharedSecret,
  signEcdsa,
  streamGcm,
  tagBytes,
  unwrapKey,
  verifyEcdsa,
  wrapKey,
  type Curve,
} from '../../../core/crypto/crypto.ts'
import { seededRandom, systemRandom } from '../../../core/ports/random.ts'
import { p256Certificate, p256Point } from '../../support/certificates.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')

const longPlain =
  'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
  '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39'
const longAad = 'feedfacedeadbeeffeedfacedeadbeefabaddad2'
const longKey = 'feffe9928665731c6d6a8f9467308308'
const gcm: [name: string, key: string, iv: string, aad: string, plain: string, sealed: string][] = [
  ['1', '00'.repeat(16), '00'.repeat(12), '', '', '58e2fccefa7e3061367f1d57'],
  [
    '2',
    '00'.repeat(16),
    '00'.repeat(12),
    '',
    '00'.repeat(16),
    '0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b2',
  ],
  [
    '4',
    longKey,
    'cafebabefacedbaddecaf888',
    longAad,
    longPlain,
    '42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e' +
      '21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95a',
  ],
  [
    '16',
    longKey + longKey,
    'cafebabefacedbaddecaf888',
    longAad,
    longPlain,
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853',
  ],
]

t.test('AES-GCM: test cases of McGrew and Viega, tags cut to 12 octets', async (t) => {
  for (const [name, keyHex, ivHex, aadHex, plainHex, sealedHex] of gcm) {
    const key = new SecretKey(hex(keyHex))
    const [iv, aad, plain, sealed] = [ivHex, aadHex, plainHex, sealedHex].map(hex)
    const out = Buffer.alloc(sealed!.length + 3)
    const context = { key, ivView: iv!, aad: aad! }
    t.equal(sealGcm(context, plain, out, 3), out.length, `${name}: its end`)
    t.same(out.subarray(3), sealed, `${name}: sealed behind three octets`)
    const half = aad!.length >> 1
    const inParts = { ...context, aad: aad!.subarray(0, half), moreAad: aad!.subarray(half) }
    sealGcm(inParts, plain, out, 3)
    t.same(out.subarray(3), sealed, `${name}: with the additional data in two parts`)
    const [content, tag] = [sealed!.subarray(0, -tagBytes), sealed!.subarray(-tagBytes)]
    t.same(openGcm(context, content, tag), plain, `${name}: opened`)
    t.same(streamGcm(key, iv!, content), plain, `${name}: the key stream alone`)
    const wrong = Buffer.from(tag)
    wrong[11]! ^= 1
    t.equal(openGcm(context, content, wrong), undefined, `${name}: another tag`)
  }
  t.throws(
    () =>
      openGcm(
        { key: new SecretKey(hex(longKey)), ivView: Buffer.alloc(12), aad: hex('') },
        hex(''),
        hex('00'),
      ),
    { message: /tag/ },
    'a tag of one octet is a fault of ours',
  )
})

t.test('AES key wrap: RFC 3394, 4.1 to 4.6', async (t) => {
  const kek = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'
  const data = '00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f'
  const cases: [kekBytes: number, keyBytes: number, wrapped: string][] = [
    [16, 16, '1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5'],
    [24, 16, '96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d'],
    [32, 16, '64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7'],
    [24, 24, '031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2'],
    [32, 24, 'a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1'],
    [32, 32, '28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21'],
  ]
  for (const [kekBytes, keyBytes, wrappedHex] of cases) {
    const wrapping = new SecretKey(hex(kek).subarray(0, kekBytes))
    const key = new SecretKey(hex(data).subarray(0, keyBytes))
    t.same(wrapKey(wrapping, key).toString('hex'), wrappedHex)
    t.ok(unwrapKey(wrapping, hex(wrappedHex))?.equals(key))
    const changed = hex(wrappedHex)
    changed[5]! ^= 4
    t.equal(unwrapKey(wrapping, changed), undefined, 'changed on its way')
    t.equal(unwrapKey(wrapping, hex(wrappedHex).subarray(8)), undefined, 'cut')
  }
  t.equal(unwrapKey(new SecretKey(hex(kek)), Buffer.alloc(0)), undefined, 'nothing')
})

t.test('hashes of "abc": RFC 1321 A.5, FIPS 180-4 examples', async (t) => {
  const abc = Buffer.from('abc')
  t.same(digest('md5', abc).toString('hex'), '900150983cd24fb0d6963f7d28e17f72')
  t.same(digest('sha1', abc).toString('hex'), 'a9993e364706816aba3e25717850c26c9cd0d89d')
  t.same(
    digest('sha256', abc).toString('hex'),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  )
  t.same(
    digest('sha384', abc).toString('hex'),
    'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed' +
      '8086072ba1e7cc2358baeca134c825a7',
  )
})

t.test('AES on blocks: FIPS 197 C.1', async (t) => {
  const key = new SecretKey(hex('000102030405060708090a0b0c0d0e0f'))
  const block = hex('00112233445566778899aabbccddeeff')
  const enciphered = '69c4e0d86a7b0430d8cdb78070b4c55a'
  t.same(
    encipherBlocks(key, Buffer.concat([block, block])).toString('hex'),
    enciphered + enciphered,
    'each by itself',
  )
})

const ecdsa: [curve: Curve, scalar: string, signature: string][] = [
  [
    'P-256',
    'c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721',
    'efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716' +
      'f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8',
  ],
  [
    'P-384',
    '6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8' +
      '96d5724e4c70a825f872c9ea60d2edf5',
    '94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c' +
      '81a648152e44acf96e36dd1e80fabe46' +
      '99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94f' +
      'a329c145786e679e7b82c71a38628ac8',
  ],
]

t.test('ECDSA: RFC 6979 A.2.5 and A.2.6, message "sample"', async (t) => {
  for (const [curve, scalar, signatureHex] of ecdsa) {
    const key = PrivateKey.of(curve, hex(scalar))!
    const sample = Buffer.from('sample')
    const signature = hex(signatureHex)
    t.ok(verifyEcdsa(key.publicKey, sample, signature), curve)
    t.notOk(verifyEcdsa(key.publicKey, Buffer.from('Sample'), signature))
    t.notOk(verifyEcdsa(key.publicKey, sample, signature.subarray(1)), 'cut')
    t.notOk(verifyEcdsa(key.publicKey, sample, Buffer.alloc(signature.length)), 'r and s are zero')
    const ours = signEcdsa(key, sample)
    t.equal(ours.length, signature.length, 'r || s, padded')
    t.ok(verifyEcdsa(key.publicKey, sample, ours))
  }
})

const ecdh: [curve: Curve, i: string, r: string, z: string][] = [
  [
    'P-256',
    'c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433',
    'c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53',
    'd6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de',
  ],
  [
    'P-384',
    '099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655' +
      'e35b538041e649ee3faef896783ab194',
    '41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942' +
      'e0308312916b8ed2960e4bd55a7448fc',
    '11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4' +
      'd603135569b9e9d09cf5d4a270f59746',
  ],
]

t.test('ECDH: RFC 5903 8.1 and 8.2', async (t) => {
  for (const [curve, i, r, z] of ecdh) {
    const [ours, theirs] = [i, r].map((scalar) => PrivateKey.of(curve, hex(scalar))!)
    t.same(sharedSecret(ours!, theirs!.publicKey).toString('hex'), z, curve)
    t.same(sharedSecret(theirs!, ours!.publicKey).toString('hex'), z, 'from the other side')
  }
})

t.test('keys that are none', async (t) => {
  const point = Buffer.from(PrivateKey.generate('P-256').publicKey.pointBytes)
  t.ok(PublicKey.of('P-256', point))
  point[63]! ^= 1
  t.equal(PublicKey.of('P-256', point), undefined, 'not on the curve')
  t.equal(PublicKey.of('P-256', Buffer.alloc(64)), undefined, 'the origin')
  t.equal(PublicKey.of('P-384', point), undefined, 'of another size')
  t.equal(PrivateKey.of('P-256', Buffer.alloc(32)), undefined, 'zero')
  t.equal(PrivateKey.of('P-256', Buffer.alloc(32, 0xff)), undefined, 'above the order')
  t.equal(PrivateKey.of('P-256', Buffer.alloc(31, 1)), undefined, 'short')
  t.throws(() => new SecretKey(Buffer.alloc(15)), { name: 'AssertionFault' })
  t.equal(SecretKey.of(Buffer.alloc(15)), undefined)
  t.equal(SecretKey.of(Buffer.alloc(32))?.bytes, 32)
})

t.test('keys do not print', async (t) => {
  const octets = systemRandom.bytes(16)
  const agreement = PrivateKey.generate('P-384')
  const keys = {
    unicast: new SecretKey(octets),
    password: new Secret(Buffer.from('correct horse')),
    nested: [{ agreement }],
  }
  const shown = [
    JSON.stringify(keys),
    inspect(keys, { depth: 9, showHidden: true, getters: true }),
    String(keys.unicast),
    `${keys.password}`,
    inspect(agreement, { customInspect: false, showHidden: true, depth: 9 }),
    JSON.stringify(Object.entries(keys.unicast)),
  ].join('\n')
  for (const secret of [octets, Buffer.from('correct horse')])
    for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const)
      t.notOk(shown.includes(secret.toString(form)), form)
  t.notOk(shown.includes([...octets].join(',')), 'as numbers')
  t.notMatch(shown, /correct horse|PRIVATE|"d"/)
  t.same(JSON.parse(JSON.stringify(keys)), {
    unicast: '[key]',
    password: '[key]',
    nested: [{ agreement: '[key]' }],
  })
  t.same(keys.unicast.copyOfOctets(), octets, 'and still they are there')
  t.ok(keys.unicast.equals(new SecretKey(octets)))
  t.notOk(keys.unicast.equals(SecretKey.random(seededRandom(1), 16)))
})

t.test('compares, and reads certificates', async (t) => {
  t.ok(sameSecret(hex('0102'), hex('0102')))
  t.notOk(sameSecret(hex('0102'), hex('0103')))
  t.notOk(sameSecret(hex('0102'), hex('010200')))
  const certificate = readCertificate(p256Certificate)!
  t.equal(certificate.subjectName, '4D4D4D0000BC614E')
  t.same(certificate.publicKey?.pointBytes, p256Point)
  t.equal(readCertificate(hex('3003020101')), undefined)
})
