// Asks a server at constant rates and writes what its answers took, as JSON. scripts/load.sh runs it.
//
// Three kinds of requests at the same time, each evenly spaced whatever the answers take (an open model): a request
// goes out when it is due, over another connection if the others still wait, so slow answers hide no waiting.

import { loadTest } from "loadtest"

const [address, seconds, known, ...ids] = process.argv.slice(2)
const titles = JSON.parse(known)

let turn = 0
const next = (values) => values[turn++ % values.length]
const get = (path) => ({
  requestGenerator: (_, parameters, request, answered) => request({ ...parameters, path: path() }, answered),
})
const ratings = () => [1, 5, 6, 7, 8].map((rating) => ({ title: next(titles), rating: rating + 2 }))

const KINDS = {
  "known user": { requestsPerSecond: 160, ...get(() => `/users/${next(ids)}/recommendations`) },
  search: { requestsPerSecond: 30, ...get(() => `/items/search?q=${encodeURIComponent(next(titles).slice(0, 8).toLowerCase())}`) },
  "by ratings": {
    requestsPerSecond: 10,
    url: `${address}/recommendations?n=20&next_part_only=true`,
    method: "POST",
    contentType: "application/json",
    body: () => JSON.stringify({ ratings: ratings() }),
  },
}

const ask = (kind) => loadTest({ url: address, maxSeconds: Number(seconds), agentKeepAlive: true, quiet: true, ...kind })
const results = await Promise.all(Object.values(KINDS).map(ask))
const rows = Object.entries(KINDS).map(([name, { requestsPerSecond }], place) => {
  const { totalRequests, totalErrors, percentiles, maxLatencyMs } = results[place]
  const times = { p50_ms: percentiles[50], p99_ms: percentiles[99], max_ms: maxLatencyMs }
  return [name, { rate: requestsPerSecond, answered: totalRequests, errors: totalErrors, ...times }]
})
console.log(JSON.stringify(Object.fromEntries(rows), null, 1))
process.exit()
