/**
 * What deploys a broker elsewhere: image, compose files, systemd unit. There is no container engine
 * in tests, so the files are read as their tools read them, and what they start is compared with
 * what there is.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { natsServerVersionMin } from '../../../core/ops/setup/nats-server.mjs'
import { settings, type Setting } from '../../../core/ops/settings.ts'

const root = join(import.meta.dirname, '../../..')
const folder = join(root, 'core/ops/deploy')
const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
const known = (Object.values(settings) as Setting[]).map(({ env }) => env)

type Service = {
  image?: string
  read_only?: boolean
  user?: string
  cap_drop?: string[]
  security_opt?: string[]
  environment?: Record<string, string>
  volumes?: string[]
  ports?: string[]
  healthcheck?: { test: string[] }
}
type Compose = { services: Record<string, Service>; volumes: Record<string, unknown> }
const compose = (name: string): Compose => parse(read(name), { merge: true }) as Compose
const entriesOf = (file: Compose, name: RegExp): Service[] =>
  Object.entries(file.services)
    .filter(([service]) => name.test(service))
    .map(([, service]) => service)

t.test('the image: stages, user, signals, health', async (t) => {
  const lines = read('Dockerfile')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const of = (word: string): string[] => lines.filter((line) => line.startsWith(`${word} `))
  t.equal(of('FROM').length, 3)
  const instructions =
    /^(FROM|WORKDIR|COPY|RUN|ENV|USER|VOLUME|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD) /
  t.same(
    lines.filter((line) => !instructions.test(line)),
    [],
  )
  const [user = ''] = of('USER')
  t.match(user, /^USER [1-9]\d+:[1-9]\d+$/, 'by number, so that a cluster can check it is not root')
  t.ok(lines.indexOf(user) > lines.findLastIndex((line) => line.startsWith('RUN ')))
  t.same(of('STOPSIGNAL'), ['STOPSIGNAL SIGTERM'])
  t.match(of('HEALTHCHECK')[0], /CMD \["busbar", "health"\]$/)
  for (const word of ['ENTRYPOINT', 'CMD', 'VOLUME'])
    t.type(JSON.parse(of(word)[0]!.slice(word.length + 1)), Array, `${word} without a shell`)
  const used = [...of('ENV')[0]!.matchAll(/\b(BUSBAR_\w+)=/g)].map(([, name = '']) => name)
  t.same(
    used.filter((name) => !known.includes(name)),
    [],
    'settings that there are',
  )
  const server = /^FROM nats:(\S+) AS nats$/.exec(of('FROM')[1]!)?.[1]
  t.equal(server, natsServerVersionMin)
  for (const line of of('COPY').filter((one) => !one.includes('--from=')))
    for (const path of line.split(/\s+/).slice(1, -1))
      t.ok(existsSync(join(root, path)), `${path} is there to copy`)
  const ignored = read('Dockerfile.dockerignore')
  for (const place of ['.git', '**/node_modules', '**/dist', 'test'])
    t.ok(ignored.split('\n').includes(place), place)
})

t.test('compose: one node, and three', async (t) => {
  const one = compose('compose.yaml')
  const cluster = compose('compose-cluster.yaml')
  t.equal(entriesOf(cluster, /^nats-/).length, 3)
  t.equal(entriesOf(cluster, /^busbar-/).length, 3)
  for (const file of [one, cluster])
    for (const [name, service] of Object.entries(file.services)) {
      t.equal(service.read_only, true, `${name}: read-only root file system`)
      t.same(service.cap_drop, ['ALL'], name)
      for (const port of service.ports ?? []) t.match(port, /^127\.0\.0\.1:/, `${name}: ${port}`)
      for (const volume of service.volumes ?? []) {
        const [source = ''] = volume.split(':')
        t.ok(source.startsWith('./') || source in file.volumes, `${name}: ${source}`)
      }
      const unknown = Object.keys(service.environment ?? {}).filter(
        (variable) => variable.startsWith('BUSBAR_') && !known.includes(variable),
      )
      t.same(unknown, [], `${name}: settings that there are`)
    }
  const published = Object.values(cluster.services).flatMap(({ ports = [] }) => ports)
  const outside = published.map((port) => port.split(':')[1])
  t.equal(new Set(outside).size, outside.length, 'no port twice')
  for (const broker of entriesOf(cluster, /^busbar-/)) {
    t.equal(broker.environment?.['BUSBAR_REPLICAS'], '3')
    for (const name of ['nats-1', 'nats-2', 'nats-3'])
      t.ok(broker.environment?.['BUSBAR_NATS_URL']?.includes(`${name}:4222`), name)
  }
  const data = entriesOf(cluster, /^(busbar|nats)-/).map(({ volumes = [] }) => volumes[0])
  t.equal(new Set(data).size, 6, 'each has data of its own')
  const images = entriesOf(cluster, /^nats-/).map(({ image }) => image)
  t.same([...new Set(images)], [`nats:${natsServerVersionMin}-alpine`])
})

t.test("nats-server takes the cluster's settings", async (t) => {
  const server = process.env['NATS_SERVER_BIN']
  if (!server) return t.pass('unchecked', { skip: 'no nats-server in NATS_SERVER_BIN' })
  const place = mkdtempSync(join(tmpdir(), 'busbar-deploy-'))
  t.teardown(() => rmSync(place, { recursive: true, force: true }))
  const file = join(place, 'nats.conf')
  writeFileSync(file, read('nats.conf').replace('store_dir: /data', `store_dir: ${place}/data`))
  const [service] = entriesOf(compose('compose-cluster.yaml'), /^nats-1$/)
  const text = JSON.stringify(service!.environment).replaceAll(
    /\$\{NATS_PASSWORD:\?[^}]*\}|\$\{NATS_PASSWORD\}/g,
    '0123456789abcdef',
  )
  const env = JSON.parse(text) as Record<string, string>
  const checked = spawnSync(server, ['-t', '-c', file], { env, encoding: 'utf8' })
  t.equal(checked.status, 0, checked.stderr)
  t.match(read('nats.conf'), /sync_interval: always/)
  return undefined
})

t.test('the systemd unit', async (t) => {
  const text = read('busbar.service')
  const values = new Map<string, string[]>()
  for (const line of text.split('\n').filter((one) => /^\w+=/.test(one))) {
    const [, name = '', value = ''] = /^(\w+)=(.*)$/.exec(line)!
    values.set(name, [...(values.get(name) ?? []), value])
  }
  t.same(values.get('KillMode'), ['mixed'], 'the broker ends its nats-server itself')
  for (const name of ['NoNewPrivileges', 'ProtectHome', 'PrivateTmp', 'PrivateDevices'])
    t.same(values.get(name), ['yes'])
  t.same(values.get('ProtectSystem'), ['strict'])
  t.same(values.get('EnvironmentFile'), ['-/etc/busbar/busbar.env'])
  const used = values.get('Environment')!.filter((one) => one.startsWith('BUSBAR_'))
  t.same(
    used.filter((one) => !known.includes(one.split('=')[0]!)),
    [],
  )
  const place = mkdtempSync(join(tmpdir(), 'busbar-unit-'))
  t.teardown(() => rmSync(place, { recursive: true, force: true }))
  const unit = join(place, 'busbar.service')
  // The one thing that this machine need not have: the installed command.
  writeFileSync(unit, text.replace('/usr/local/bin/busbar serve', '/bin/true'))
  const verify = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8' })
  if (verify.error) return t.pass('unchecked', { skip: 'there is no systemd-analyze here' })
  const own = verify.stderr.split('\n').filter((line) => line.includes('busbar.service'))
  t.same(own, [])
  t.equal(verify.status, 0, verify.stderr)
  return undefined
})
