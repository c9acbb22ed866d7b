// @ts-check
/**
 * Load over HTTP with autocannon alone, as a script to copy: `node bench/http/load.mjs
 * http://127.0.0.1:8080 PARTY DEVICE…` (`npm start` prints a party and devices). Each request has a
 * RequestID of its own: the counter is nanoseconds since 1970. It submits only. The responses wait
 * at the output gateway; `busbar load --http` fetches them too. For a door without TLS
 * (`--insecure-party-header`).
 */
import autocannon from 'autocannon'

const [url = 'http://127.0.0.1:8080', party, ...devices] = process.argv.slice(2)
if (party === undefined || devices.length === 0) {
  console.error('usage: node bench/http/load.mjs URL PARTY DEVICE…')
  process.exit(2)
}

let counter = BigInt(Date.now()) * 1_000_000n
let sent = 0

const run = autocannon({
  url,
  connections: Number(process.env['CONNECTIONS'] ?? 20),
  duration: Number(process.env['SECONDS'] ?? 10),
  method: 'POST',
  headers: { 'content-type': 'application/json', 'x-busbar-party': party },
  requests: [
    {
      path: '/v1/service-requests',
      setupRequest: (request) => {
        const target = devices[sent++ % devices.length]
        const requestId = { originator: party, target, counter: String(++counter) }
        return { ...request, body: JSON.stringify({ requestId, serviceReferenceVariant: '4.1.1' }) }
      },
    },
  ],
})
autocannon.track(run, { renderProgressBar: process.stderr.isTTY })
