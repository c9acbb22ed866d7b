/**
 * What a link is made of, by how its devices are reached: the carrier of its octets, and how APDUs
 * lie in them.
 */
import type { Transport } from '../../ports/wan.ts'
import { dialTcp, dialUdp } from './carrier.ts'
import { DatagramFraming, WrapperFraming, type Framing, type FramingEvents } from './framing.ts'
import { HearingFraming } from './hearing-framing.ts'
import { HdlcFraming } from './hdlc-framing.ts'
import type { LinkParts } from './link-owner.ts'
import type { WanOptions } from './options.ts'

/** A link that we open. */
export function dialledParts(
  { transport, host, port }: { transport: Transport; host: string; port: number },
  options: WanOptions,
): LinkParts {
  const framing = transport === 'udp' ? 'datagrams' : transport === 'hdlc' ? 'hdlc' : 'wrapper'
  const dial = transport === 'udp' ? dialUdp : dialTcp
  return {
    open: (events) => dial(host, port, events),
    frame: frameBy(framing, options),
    isTheirs: false,
  }
}

export function frameBy(
  framing: 'wrapper' | 'datagrams' | 'hdlc' | 'mbus',
  { apduBytesMax, responseMs, exchangesPerConnectionMax }: WanOptions,
): (events: FramingEvents) => Framing {
  const options = { apduBytesMax, exchangesMax: exchangesPerConnectionMax }
  switch (framing) {
    case 'wrapper':
      return (events) => new WrapperFraming(events, options)
    case 'datagrams':
      return (events) => new DatagramFraming(events, options)
    case 'hdlc':
      return (events) => new HdlcFraming(events, { apduBytesMax, responseMs })
    case 'mbus':
      return (events) => new HearingFraming(events, { apduBytesMax })
  }
}
