// Writes what the clients need, as a table, to standard output. The argument is
// the number of requests of ten workers. It fails, and names the cells, where
// a policy does not hold what it promises.
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { clients } from './clients.js'
import { newServer, scenarios } from './scenarios.js'

const sustained = Number(process.argv[2] ?? 5000)
const columns = {
  cold: 'cold start',
  sequence: 'sequence',
  roles: 'changing roles',
  tenAtOnce: 'ten at once',
  sustained: 'workers',
  pausing: 'with pauses',
  used: 'used nonce',
  expired: 'expired nonce',
  behind: 'clock 1 h behind',
  ahead: 'clock 1 h ahead',
}

const cell = ({ requests, successes, failures }) =>
  `${successes ? (requests / successes).toFixed(2) : '-'}${failures ? `, ${failures} failed` : ''}`

// faults names the cells that contradict what a policy promises, whatever the
// client: no replay passes, and under window no call fails, and a nonce that
// changes costs next to no challenges.
function faults(policy, results) {
  const found = []
  const { accepted, sent } = results.stolen.replays
  if (accepted > 0 || sent === 0) found.push(`replays: ${accepted} of ${sent} accepted`)
  if (policy !== 'window') return found
  for (const [key, { failures, errors }] of Object.entries(results)) {
    if (failures > 0) found.push(`${columns[key] ?? 'replays'}: ${failures} failed, the first by ${errors[0]}`)
  }
  for (const key of ['tenAtOnce', 'sustained', 'pausing']) {
    const { requests, successes } = results[key]
    if (!(requests / successes <= 1.05)) found.push(`${columns[key]}: ${requests} requests for ${successes} successes`)
  }
  return found
}

const row = (cells) => `| ${cells.join(' | ')} |`

const dsn = process.env.POSTGRES_DSN
console.log(`# Clients

What third-party clients need of this server, each with the one retry that it has by itself: requests per success, and what failed in the end.
\`make clients\` wrote this file: two nodes behind a balancer, on one ${dsn ? 'PostgreSQL' : 'SQLite file'}, nonces
that live for ten seconds, so that they change while the clients work; Node ${process.versions.node}, ${availableParallelism()} cores.

- cold start: a token and a resource, without a nonce. 1.50 is one challenge.
- sequence: 20 requests to the resource, one after the other.
- changing roles: token and resource on one origin in turns, 20 requests.
- ten at once: requests to the resource, with one nonce.
- workers: ${sustained} requests to the resource by ten workers; with pauses: of up to 10 ms after each.
- used nonce, expired nonce: one request with a nonce that another client has used, or that has expired.
- clock behind, ahead: a cold start of a client whose clock is off.
- replays: each proof sent to both nodes at once, and once more; how many were accepted besides the first, of how many.

oauth4webapi and dpop leave the retry to their caller, who repeats a challenged request once. golang.org/x/oauth2 has the transport of
[goclient](goclient). The others retry themselves.`)

for (const policy of ['window', 'single-use']) {
  const dir = await mkdtemp(join(tmpdir(), 'dpopnonce-'))
  const server = await newServer(['-policy', policy, '-ttl', '10s', ...(dsn ? ['-dsn', dsn] : ['-file', join(dir, 'nonces.db')])])
  console.log(`\n## \`-policy ${policy}\`\n`)
  console.log(row(['client', ...Object.values(columns), 'replays']))
  console.log('|---' + '|---:'.repeat(Object.keys(columns).length + 1) + '|')
  for (const { name, version, open } of clients) {
    const results = await scenarios(open, server, sustained)
    const { accepted, sent } = results.stolen.replays
    console.log(row([`${name} ${version}`, ...Object.keys(columns).map((key) => cell(results[key])), `${accepted} of ${sent}`]))
    console.error(policy, name)
    for (const fault of faults(policy, results)) {
      console.error(`${policy}, ${name}, ${fault}`)
      process.exitCode = 1
    }
  }
  await server.stop()
  await rm(dir, { recursive: true })
}
