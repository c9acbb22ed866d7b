/**
 * Opens unsolicited messages of devices: with the keys that they have, or may have, as far as that
 * is ciphered; asks whether it is protected as the record wants it; and translates it for parties.
 * Keeps nothing. Whether its counter was used before is the actor's to say.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { bytesOfEui64, textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { deviceTimeOf } from '../../core/catalogue/device-time.ts'
import { deviceProfileOf, type DeviceProfile } from '../../core/inventory/device-profiles.ts'
import { readPushPayload } from '../../core/dlms/unsolicited/push-payload.ts'
import {
  CounterWindow,
  GeneralTag,
  Protection,
  readSenderTitle,
  SecurityChannel,
  Shape,
  shapeOfTag,
  standardProfile,
  suites,
} from '../../core/dlms/security/index.ts'
import { readTelegram } from '../../core/dlms/unsolicited/telegram.ts'
import type { KeyVault } from '../../core/crypto/key-vault.ts'
import type { Log } from '../../core/ports/log.ts'
import { keyMarkOf } from '../../core/crypto/sealed-keys.ts'
import type { DeviceSecurity } from '../../core/ports/wan.ts'
import { alertBodyOf, type Alert, type AlertBody } from '../../core/translate/alert.ts'
import type { OpenPush } from '../device/effects.ts'
import type { PushOpened } from '../device/messages.ts'

const authenticated = Protection.AUTHENTICATED

export type PushPorts = { keys: KeyVault; log: Log }

/** A notification in the clear, what protected it, and the set and counter that opened it. */
type Opened = { apduView: Buffer; protection: number; opened: PushOpened['opened'] }

/** Never throws for what a device sends. */
export function openPush(device: Eui64, effect: OpenPush, { keys, log }: PushPorts): PushOpened {
  const { id, push, record, receivedAt, replyTo } = effect
  const end = (
    outcome: ErrorCode,
    opened: PushOpened['opened'],
    bodies: readonly AlertBody[],
  ): PushOpened => ({
    type: 'PUSH_OPENED',
    id,
    outcome: errorId(outcome),
    opened,
    receivedAt,
    bodies,
    replyTo,
  })
  try {
    const { profile: name, security } = record.address
    const profile = deviceProfileOf(name)
    if (profile === undefined) throw new BrokerError('DEVICE_RECORD_MALFORMED', `profile ${name}`)
    const { apduView, protection, opened } = isCiphered(push.apduBytes)
      ? decipher(device, effect, profile, keys)
      : asOpened(effect)
    const asked = security?.protection ?? 0
    // Its profile lets it push in the clear, which nobody takes for more; but not ciphered with no
    // tag, where a device signs with one.
    const wanted = !profile.clearPushes ? asked : protection === 0 ? 0 : asked & authenticated
    if ((protection & wanted) !== wanted) throw new BrokerError('DLMS_PROTECTION_INSUFFICIENT')
    const { bodies, dropped } = bodiesOf(apduView, {
      alarmView: push.alarmBytes,
      protection,
      zone: deviceTimeOf(record).zone,
    })
    for (const { code, bytes } of dropped)
      log.info(
        { device: textOfEui64(device), code, bytes },
        'octets behind a notification were not understood',
      )
    return end('OK', opened, bodies)
  } catch (fault) {
    const code = fault instanceof BrokerError ? fault.code : 'DEVICE_ACTOR_PARKED'
    const about = { device: textOfEui64(device), code }
    if (fault instanceof BrokerError) log.debug(about, 'a push was refused')
    // A fault of ours.
    else log.error({ ...about, fault: String(fault) }, 'a push failed in translation')
    return end(code, undefined, [])
  }
}

type Bodies = { bodies: AlertBody[]; dropped: { code: ErrorCode; bytes: number }[] }

/**
 * The alerts in an opened push. A ciphered APDU may hold several notifications, or a telegram of
 * text; an identification holds no notification. `dropped` lists what cannot be read behind the
 * first alert.
 * @throws BrokerError as `alertBodyOf`, when the first part is not an alert
 */
function bodiesOf(view: Buffer, about: Omit<Alert, 'apduView'>): Bodies {
  const isOne = view.length === 0 || readTelegram(view) !== undefined
  const { apduViews, restView } = isOne
    ? { apduViews: [view], restView: emptyBytes }
    : readPushPayload(view)
  const all: Bodies = { bodies: [], dropped: [] }
  for (const apduView of apduViews) {
    try {
      all.bodies.push(alertBodyOf({ ...about, apduView }))
    } catch (fault) {
      if (!(fault instanceof BrokerError) || all.bodies.length === 0) throw fault
      all.dropped.push({ code: fault.code, bytes: apduView.length })
    }
  }
  if (restView.length > 0) all.dropped.push({ code: 'DLMS_LENGTH_INVALID', bytes: restView.length })
  return all
}

function isCiphered([tag]: Buffer): boolean {
  return tag !== undefined && (shapeOfTag(tag) !== Shape.PLAIN || tag === GeneralTag.SIGNING)
}

/**
 * In the clear, or as an association has opened it, under a key that the device may have no more.
 */
function asOpened({ push, keys }: OpenPush): Opened {
  const { protection, counter, apduBytes } = push
  const isCounted = counter !== undefined && (protection & authenticated) !== 0
  const set = isCounted && keys.find(({ sealedKeys }) => keyMarkOf(sealedKeys) === counter.mark)
  const opened = set ? { number: set.number, counter: counter!.value } : undefined
  return { apduView: apduBytes, protection, opened }
}

/**
 * Under the first set of keys that opens it. @throws BrokerError what the first set had against it
 */
function decipher(
  device: Eui64,
  { push, record, keys }: OpenPush,
  profile: DeviceProfile,
  vault: KeyVault,
): Opened {
  const { security } = record.address
  let first: BrokerError | undefined
  for (const set of security === undefined ? [] : keys) {
    try {
      const channel = channelFor(device, security!, profile, { ...set, vault }, push.apduBytes)
      const apduView = channel.unprotect(push.apduBytes)
      const { protection, unicastCounter: counter } = channel.received
      // A signature alone counts nothing, and a counter that nobody has signed would shut out those
      // that follow.
      const isCounted = counter >= 0 && (protection & authenticated) !== 0
      const opened = isCounted ? { number: set.number, counter } : undefined
      return { apduView, protection, opened }
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      first ??= fault
    }
  }
  throw first ?? new BrokerError('DLMS_KEY_UNKNOWN', 'the device is registered without keys')
}

/**
 * With the unicast key alone: a broadcast key is not one device's, and for keys that come along or
 * are agreed nobody remembers what was received.
 */
function channelFor(
  device: Eui64,
  { suite, clientTitle, deviceTitle }: DeviceSecurity,
  { security }: DeviceProfile,
  { vault, sealedKeys, pushFloor }: OpenPush['keys'][number] & { vault: KeyVault },
  apduView: Buffer,
): SecurityChannel {
  const { unicast, authentication, peerSigning } = vault.open(device, sealedKeys)
  return new SecurityChannel({
    role: 'client',
    suite: suites[suite],
    ownTitle: clientTitle,
    // A system title is authenticated with what it stands in front of.
    peerTitle: deviceTitle ?? readSenderTitle(apduView) ?? bytesOfEui64(device),
    keys: { unicast, authentication, peerSigning },
    counters: {},
    windows: { unicast: new CounterWindow({ highest: pushFloor }) },
    ...(security && { profile: { ...standardProfile, ...security } }),
  })
}
