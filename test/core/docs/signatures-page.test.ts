/**
 * The examples of core/docs/parties/signatures.md, run as they stand with the certificate of the
 * vectors: each gives a signature that verifies over the form of the first vector.
 */
import { spawnSync } from 'node:child_process'
import { verify, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'

const root = join(import.meta.dirname, '../../..')
const page = readFileSync(join(root, 'core/docs/parties/signatures.md'), 'utf8')
const vectors = JSON.parse(
  readFileSync(join(root, 'core/docs/parties/signature-vectors.json'), 'utf8'),
) as {
  certificatePem: string
  keyPem: string
  certificate: string
  vectors: { canonical: string }[]
}

function blockOf(language: string): string {
  const [, block] = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(page) ?? []
  if (block === undefined) throw new Error(`the page has no ${language}`)
  return block
}

/** A folder with the files that the examples name. */
function folderOf(t: Test): string {
  return t.testdir({ 'signing.crt': vectors.certificatePem, 'signing.key': vectors.keyPem })
}

function run(cwd: string, command: string, args: readonly string[]): string {
  const { stdout, stderr, status } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return stdout
}

/** Whether `{"certificate", "value"}` is a signature over the form of the first vector. */
function isSignature(json: string): boolean {
  const { certificate, value } = JSON.parse(json) as { certificate: string; value: string }
  const { publicKey } = new X509Certificate(vectors.certificatePem)
  const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
  const signature = Buffer.from(value, 'base64')
  const form = Buffer.from(vectors.vectors[0]!.canonical)
  const isGood = signature.length === 64 && verify('sha256', form, key, signature)
  return certificate === vectors.certificate && isGood
}

t.test('in Node without a library of ours', async (t) => {
  const cwd = folderOf(t)
  writeFileSync(join(cwd, 'example.mjs'), blockOf('js'))
  t.ok(isSignature(run(cwd, process.execPath, ['example.mjs'])))
})

t.test('with the library', async (t) => {
  const cwd = folderOf(t)
  const client = join(root, 'actors/library/client.ts')
  const printed = `console.log(JSON.stringify({ ...signed.signature, value: Buffer.from(signed.signature!.value).toString('base64') }))`
  const text = blockOf('ts')
    .replace("'busbar/client'", JSON.stringify(client))
    .replace('console.log(signed.signature)', printed)
  writeFileSync(join(cwd, 'example.mts'), text)
  t.ok(isSignature(run(cwd, process.execPath, ['example.mts'])))
})

const tools = ['openssl', 'xxd', 'sed'].filter((tool) => spawnSync(tool, ['--version']).error)
t.test(
  'with openssl and a shell',
  { skip: tools.length > 0 && `${tools.join(', ')} is not on this machine` },
  async (t) => {
    const cwd = folderOf(t)
    // r or s is shorter in one of 128 signatures: several, so that its padding is tried sometimes.
    for (let index = 0; index < 4; index++) t.ok(isSignature(run(cwd, 'sh', ['-c', blockOf('sh')])))
  },
)
