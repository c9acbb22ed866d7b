/** The users of an external nats-server as a file to include in its configuration; generated. */
import { formatNatsUsers, type NatsUser } from '../nats/users.ts'

/** The variable with the password of `user`, in the environment of the nats-server. */
export const natsPasswordVariable = (user: NatsUser): string =>
  `NATS_PASSWORD_${user.toUpperCase()}`

export const natsUsersFile = (): string =>
  `# The users of Busbar's processes and what each may do, generated from core/nats/users.ts. In the
# configuration of a nats-server, in place of \`authorization\`: include nats-users.conf
# Passwords come from its environment and begin with a letter. core/docs/operating/roles.md says
# which process has which.
${formatNatsUsers((user) => `$${natsPasswordVariable(user)}`)}`
