/**
 * The bare pipe's meters: one process that answers each wrapper frame with a frame of fixed length,
 * no DLMS in it. Entry: `bare-meter.ts ANSWER_BYTES`; prints the port it listens on.
 */
import { createServer } from 'node:net'

const answerBytes = Number(process.argv[2])
const chunkAnswersMax = 4096
const answers = Buffer.alloc(answerBytes * chunkAnswersMax)
for (let i = 0; i < chunkAnswersMax; i++) {
  answers.writeUInt16BE(1, i * answerBytes)
  answers.writeUInt16BE(answerBytes - 8, i * answerBytes + 6)
}

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer | undefined
  socket.on('data', (chunk: Buffer) => {
    const octets = rest ? Buffer.concat([rest, chunk]) : chunk
    let at = 0
    let count = 0
    while (at + 8 <= octets.length) {
      const end = at + 8 + octets.readUInt16BE(at + 6)
      if (end > octets.length) break
      at = end
      count++
    }
    rest = at < octets.length ? octets.subarray(at) : undefined
    for (; count > 0; count -= chunkAnswersMax)
      socket.write(answers.subarray(0, Math.min(count, chunkAnswersMax) * answerBytes))
  })
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object')
    process.stdout.write(`${JSON.stringify({ port: address.port })}\n`)
})
process.on('SIGTERM', () => process.exit(0))
process.stdin.resume().on('end', () => process.exit(0))
