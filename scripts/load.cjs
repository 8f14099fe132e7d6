// Asks a server at constant rates and writes what it took, as JSON. scripts/load.sh runs it.
//
// Three kinds of requests at the same time, each at a rate of its own, whatever the answers take: the time of an answer
// that had to wait for its turn counts from the moment when it was due (autocannon corrects for coordinated omission).

const autocannon = require("autocannon")

const [address, seconds, ...ids] = process.argv.slice(2)
const QUERIES = ["naruto", "cowboy bebob", "steins gate", "attack on titan", "spirited", "full metal", "clannad", "death n"]

let turn = 0
const next = (values) => values[turn++ % values.length]

const KINDS = {
  "known user": {
    rate: 160,
    request: { setupRequest: (request) => ({ ...request, path: `/users/${next(ids)}/recommendations` }) },
  },
  search: {
    rate: 30,
    request: { setupRequest: (request) => ({ ...request, path: `/items/search?q=${encodeURIComponent(next(QUERIES))}` }) },
  },
  "by ratings": {
    rate: 10,
    request: {
      method: "POST",
      path: "/recommendations?n=20&next_part_only=true",
      headers: { "content-type": "application/json" },
      setupRequest: (request) => ({
        ...request,
        body: JSON.stringify({ ratings: [1, 5, 6, 7, 8].map((rating, place) => ({ title: QUERIES[(turn++ + place) % QUERIES.length], rating: rating + 2 })) }),
      }),
    },
  },
}

const run = ({ rate, request }) =>
  autocannon({ url: address, connections: 10, overallRate: rate, duration: Number(seconds), requests: [request] })

Promise.all(Object.values(KINDS).map(run)).then((results) => {
  const rows = Object.keys(KINDS).map((kind, place) => {
    const { requests, latency, errors, timeouts, non2xx } = results[place]
    const { p50, p99, max } = latency
    return [kind, { rate: KINDS[kind].rate, answered: requests.total, errors: errors + timeouts + non2xx, p50_ms: p50, p99_ms: p99, max_ms: max }]
  })
  console.log(JSON.stringify(Object.fromEntries(rows), null, 1))
})
