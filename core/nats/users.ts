/**
 * The users of a nats-server of Busbar, and what each may publish and subscribe to, as data. A
 * process with one role connects as the user of that role, all others and the commands of operators
 * as `busbar`, who may do everything. What a stolen credential can do is limited to this:
 *
 *   gateway   hands in requests to hosts, reads the ledger, keeps cursors of deliveries
 *   host      decides and writes the ledger; only its inboxes are its own
 *   wan       carries exchanges to devices; hands in what devices say, and no request
 *   views     reads the ledger, keeps its cursor
 *
 * Each has inboxes of its own, so that nobody reads the answers to another one.
 * @source docs.nats.io, "Authorization"; subjects: core/ports/bus.ts, core/cluster, core/wan/remote
 */
export const NatsUser = ['busbar', 'gateway', 'host', 'wan', 'views'] as const
export type NatsUser = (typeof NatsUser)[number]
export type LimitedUser = Exclude<NatsUser, 'busbar'>
export const limitedUsers = NatsUser.filter((user): user is LimitedUser => user !== 'busbar')

export type NatsPermissions = {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
  readonly neverSubscribe?: readonly string[]
  /** May answer what it was asked, wherever the answer goes. */
  readonly answers?: true
}

/** First token of the inboxes of a connection of `user`; those of `busbar` have the usual one. */
export const inboxPrefixOf = (user: string | undefined): string | undefined =>
  limitedUsers.some((one) => one === user) ? `_INBOX_${user}` : undefined

const inboxesOf = (user: LimitedUser): string => `_INBOX_${user}.>`

/** Looking at streams; no stream is made, changed or removed with it. */
const look = [
  '$JS.API.INFO',
  '$JS.API.STREAM.INFO.*',
  '$JS.API.STREAM.MSG.GET.*',
  // As for consumers: an answer goes where the request says.
  '$JS.API.DIRECT.GET.LEDGER',
  '$JS.API.DIRECT.GET.LEDGER.>',
  '$JS.API.DIRECT.GET.OBJ_SNAPSHOTS.>',
  // The server delivers for a consumer wherever its maker says: so none on a stream that its maker
  // may write to, or it would hand in whatever it likes.
  ...['LEDGER', 'OBJ_SNAPSHOTS'].flatMap((stream) => [
    `$JS.API.CONSUMER.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.INFO.${stream}.*`,
    `$JS.API.CONSUMER.DELETE.${stream}.*`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
  ]),
  'busbar.process.*',
]
const hear = ['busbar.alive.*', 'busbar.wan-alive.*']
const cursors = '$KV.*.>'

export const natsPermissions: Readonly<Record<LimitedUser, NatsPermissions>> = {
  gateway: {
    publish: [
      ...look,
      cursors,
      'busbar.host.*',
      'busbar.receiver.*',
      // Puts the directory in force, once.
      'busbar.directory.in-force',
      // At its operators' door: acts that need two operators.
      'busbar.meta.approvals',
    ],
    subscribe: [inboxesOf('gateway'), ...hear, 'busbar.receiver.*'],
  },
  host: {
    publish: ['>'],
    subscribe: ['>'],
    neverSubscribe: [
      '_INBOX.>',
      ...limitedUsers.filter((one) => one !== 'host').map((one) => inboxesOf(one)),
    ],
  },
  wan: {
    publish: [
      ...look,
      'busbar.wan-alive.*',
      'busbar.dial-in.*',
      'busbar.wan-results.*',
      'busbar.host-push.*',
    ],
    subscribe: [inboxesOf('wan'), ...hear, 'busbar.wan.*', 'busbar.status.*'],
    answers: true,
  },
  views: { publish: [...look, cursors], subscribe: [inboxesOf('views'), ...hear] },
}

/** As whom a process with these roles connects. */
export function natsUserOf(roles: readonly string[]): NatsUser {
  const [role, ...others] = roles
  return others.length > 0 ? 'busbar' : (limitedUsers.find((one) => one === role) ?? 'busbar')
}

const list = (subjects: readonly string[]): string =>
  `[${subjects.map((subject) => `"${subject}"`).join(', ')}]`

/**
 * The users as a block of a nats-server's configuration. `passwordOf` gives text of the
 * configuration: quoted, or the name of a variable. `fullName`: what the user is called who may do
 * everything.
 */
export function formatNatsUsers(
  passwordOf: (user: NatsUser) => string,
  fullName = 'busbar',
): string {
  const lines = ['authorization {', '  users: [']
  for (const user of NatsUser) {
    const permissions = user === 'busbar' ? undefined : natsPermissions[user]
    const shown = user === 'busbar' ? fullName : user
    const name = `    { user: "${shown}", password: ${passwordOf(user)}`
    if (permissions === undefined) {
      lines.push(`${name} }`)
      continue
    }
    const { publish, subscribe, neverSubscribe, answers } = permissions
    const denied = neverSubscribe === undefined ? '' : `, deny: ${list(neverSubscribe)}`
    lines.push(
      `${name}, permissions: {`,
      `        publish: { allow: ${list(publish)} }`,
      `        subscribe: { allow: ${list(subscribe)}${denied} }`,
      // As long as an exchange with a device may take.
      ...(answers ? ['        allow_responses: { max: 1, expires: "10m" }'] : []),
      '      } }',
    )
  }
  return [...lines, '  ]', '}', ''].join('\n')
}
