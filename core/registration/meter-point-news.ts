/**
 * What a registration has changed at a meter point, or would change: the body of a METER_POINT_NEWS
 * envelope, which answers METER_POINT_REGISTRATION and METER_POINT_COMPARISON.
 */
import { BrokerError } from '../base/broker-error.ts'

/** `added`: nothing was registered there before. Only the place in this list is sent. */
export const MeterPointNews = ['none', 'changed', 'added'] as const
export type MeterPointNews = (typeof MeterPointNews)[number]

/** `[version, place in the list]`, an octet each. */
const version = 1

export const encodeNews = (news: MeterPointNews): Buffer =>
  Buffer.of(version, MeterPointNews.indexOf(news))

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export function decodeNews(view: Uint8Array): MeterPointNews {
  const [found = 0, index = -1] = view
  if (found > version) throw new BrokerError('FORMAT_VERSION_LATER', 'an answer of a meter point')
  const news = MeterPointNews[index]
  if (found !== version || news === undefined || view.length !== 2)
    throw new BrokerError('ENVELOPE_MALFORMED', 'an answer of a meter point')
  return news
}
