/**
 * Unsolicited messages of simulated meters, over TCP: a notification and then they close, or they
 * dial in, say who they are, and answer on that connection until it closes. In the wrapper, in
 * HDLC, as a bare APDU, or as a name with an alarm. [IEC 62056-5-3, Data-Notification,
 * Event-Notification-Request; IEC 62056-6-2, Push setup]
 */
import { connect, type Socket } from 'node:net'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { encodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { encodeValue, Tag } from '../../../core/dlms/axdr/axdr.ts'
import { cosemDateTimeBytes, writeCosemDateTime } from '../../../core/dlms/axdr/date-time.ts'
import { hdlcAddress } from '../../../core/dlms/framing/hdlc/address.ts'
import { encodeUnconfirmed, llcToClient } from '../../../core/dlms/framing/hdlc/transfer.ts'
import { wrapInPlace } from '../../../core/dlms/framing/wrapper.ts'
import {
  authenticatedEncrypted,
  SecurityChannel,
  Shape,
} from '../../../core/dlms/security/index.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import { serveConnection, type Concentrator } from './connection.ts'
import { simulatedClientTitle } from '../model/meter-keys.ts'
import type { MeterState } from '../model/meter-state.ts'
import { meterEui64 } from '../model/population.ts'
import { pushedValue } from '../objects/push-objects.ts'
import { managementClient } from '../model/access-link.ts'

/**
 * What is sent: a data-notification, an event-notification, or the meter's name and an alarm
 * register without any APDU.
 */
export const pushKinds = ['data', 'event', 'alarm'] as const
export type PushKind = (typeof pushKinds)[number]
/** What is around it. */
export const pushFramings = ['wrapper', 'hdlc', 'bare'] as const
export type PushFraming = (typeof pushFramings)[number]

export type PushTarget = { host: string; port: number }

const alarmRegister = Buffer.from([0, 0, 97, 98, 0, 255])

function now(meter: MeterState): Buffer {
  const bytes = Buffer.alloc(cosemDateTimeBytes)
  writeCosemDateTime(bytes, 0, meter.timeAt(meter.model.clock.now()))
  return bytes
}

/** The APDU, in the clear: when it is, and what the meter's push setup lists. */
export function notificationOf(meter: MeterState, kind: 'data' | 'event', invokeId = 1): Buffer {
  if (kind === 'event')
    return encodeApdu({
      type: 'event-notification-request',
      timeView: now(meter),
      descriptorView: Buffer.concat([Buffer.of(0, 1), alarmRegister, Buffer.of(2)]),
      valueView: encodeValue({ tag: Tag.DOUBLE_LONG_UNSIGNED, value: 1 }),
    })
  return encodeApdu({
    type: 'data-notification',
    longInvokeIdAndPriority: invokeId,
    dateTimeView: now(meter),
    valueView: pushedValue(meter),
  })
}

/**
 * `apdu` under the keys of the meter, so that its sender shows: general-glo-ciphering; as it is for
 * a meter without.
 */
function protectedBy({ security }: MeterState, apdu: Buffer): Buffer {
  if (security === undefined) return apdu
  const { suite, keys, counters, ownTitle } = security.forAssociation
  const channel = new SecurityChannel({
    role: 'server',
    suite,
    ownTitle,
    peerTitle: simulatedClientTitle,
    keys,
    counters,
  })
  return channel.protect(apdu, {
    shape: Shape.GENERAL_GLOBAL,
    protection: authenticatedEncrypted,
  })
}

/** The octets of a push, as they go out. */
export function pushBytes(
  meter: MeterState,
  kind: PushKind = 'data',
  framing: PushFraming = 'wrapper',
): Buffer {
  if (kind === 'alarm')
    return Buffer.concat([
      Buffer.from(`${nameOf(meter).padEnd(17, '0')},`, 'latin1'),
      Buffer.of(0, 0, 0, 1),
    ])
  const apdu = protectedBy(meter, notificationOf(meter, kind))
  switch (framing) {
    case 'bare':
      return apdu
    case 'wrapper':
      return wrapInPlace(apdu, 1, managementClient)
    default: {
      const ends = { local: hdlcAddress(1, 17), remote: hdlcAddress(managementClient) }
      return encodeUnconfirmed(ends, llcToClient, apdu)
    }
  }
}

/** What a meter calls itself when it dials in: its EUI-64, sixteen digits. */
export const nameOf = ({ number }: Pick<MeterState, 'number'>): string =>
  meterEui64(number).replaceAll('-', '')

/** How long a push may take, closing included. */
export const pushMsMax = 10_000

/** Where a fleet's connections are known, so that none outlives it. */
export type Outgoing = { readonly clock: Clock; track(socket: Socket): void }

/**
 * Sends a push on a connection of its own; settles when that is closed, by whomever, or after
 * `pushMsMax`.
 * @throws what the socket says
 */
export function sendPush(
  { host, port }: PushTarget,
  octets: Buffer,
  { clock, track }: Outgoing,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true })
    track(socket)
    const callOff = clock.at(clock.now() + pushMsMax, () =>
      // Some receivers never close their side: what they were to hear is with them all the same.
      socket.destroy(
        socket.connecting ? new Error(`no connection within ${pushMsMax} ms`) : undefined,
      ),
    )
    socket.on('error', reject)
    socket.on('close', () => {
      callOff()
      resolve()
    })
    socket.on('data', () => undefined)
    socket.end(octets)
  })
}

/**
 * Sends a push to `host:port`, as a meter was told to. @throws BrokerError CONFIG_INVALID, and what
 * the socket says
 */
export async function sendNotification(
  meter: MeterState,
  destination: string,
  outgoing: Outgoing,
): Promise<void> {
  const [, host, port] = /^\[?([^\s\]]+?)\]?:(\d{1,5})$/.exec(destination) ?? []
  if (host === undefined || Number(port) > 65_535)
    throw new BrokerError('CONFIG_INVALID', `${destination} is no host:port`)
  await sendPush({ host, port: Number(port) }, pushBytes(meter), outgoing)
}

/** How a meter says who it is when it dials in. */
export type Announcement = 'identification' | 'data' | 'alarm'

/** Dials in, and serves that connection until it closes. The caller owns the socket. */
export function dialIn(
  { host, port }: PushTarget,
  meter: MeterState,
  concentrator: Concentrator,
  announcement: Announcement = 'identification',
): Socket {
  const socket = connect({ host, port, noDelay: true, allowHalfOpen: true })
  socket.on('connect', () =>
    socket.write(
      announcement === 'identification'
        ? Buffer.from(`${nameOf(meter)}\r\n`, 'latin1')
        : pushBytes(meter, announcement),
    ),
  )
  serveConnection(socket, concentrator)
  return socket
}
