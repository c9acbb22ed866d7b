/**
 * Resets the HTTP/2 stream under a gRPC call. A status waits behind the messages before it; a peer
 * that has stopped reading would never get it, and its messages would stay in memory. grpc-js has
 * no public way to reset a call from the server, so this reaches for the stream it keeps (1.14:
 * call → interceptor's call → stream); test/core/gateway proves that it is there.
 */
import { constants, type ServerHttp2Stream } from 'node:http2'

/**
 * The HTTP/2 stream under a call, as handlers get it; undefined when grpc-js keeps it elsewhere.
 */
export const streamOf = (call: object): ServerHttp2Stream | undefined => {
  let inner: unknown = Reflect.get(call, 'call')
  for (let depth = 0; depth < 4 && typeof inner === 'object' && inner !== null; depth++) {
    const stream: unknown = Reflect.get(inner, 'stream')
    if (typeof stream === 'object' && stream !== null && 'rstCode' in stream)
      return stream as ServerHttp2Stream
    inner = Reflect.get(inner, 'nextCall')
  }
  return undefined
}

/**
 * True when the stream was found. A peer sees RESOURCE_EXHAUSTED, which is what ENHANCE_YOUR_CALM
 * stands for in gRPC.
 */
export function resetCall(call: object): boolean {
  const stream = streamOf(call)
  if (stream && !stream.closed) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  return stream !== undefined
}
