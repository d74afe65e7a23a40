// What the clients are put through, against two nodes of a server behind a
// balancer. Each scenario returns how many requests it took, and how many of the
// client's calls succeeded and failed.
import * as dpop from 'dpop'
import { setTimeout } from 'node:timers/promises'
import { newBalancer } from './balancer.js'
import { start } from './server.js'

// newServer starts two nodes. later(fn) runs fn with one whose clock is an hour
// ahead in their place, and returns its log.
export async function newServer(args) {
  const balancer = await newBalancer()
  const node = (...more) => start([...args, '-issuer', balancer.url, '-addr', '127.0.0.1:0', ...more])
  const nodes = [await node(), await node()]
  const addresses = (nodes) => nodes.map(({ address }) => address)
  balancer.nodes = addresses(nodes)
  return {
    issuer: balancer.url,
    balancer,
    later: async (fn) => {
      const ahead = await node('-clock', '1h')
      balancer.nodes = addresses([ahead])
      try {
        await fn()
      } finally {
        balancer.nodes = addresses(nodes)
        await ahead.stop()
      }
      return ahead.log
    },
    stop: async () => {
      balancer.close()
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

// run counts the requests and the outcomes of calls.
async function run(balancer, work) {
  const result = { requests: 0, successes: 0, failures: 0, errors: [] }
  const before = balancer.requests
  await work(async (call) => {
    try {
      await call()
      result.successes++
    } catch (err) {
      result.failures++
      result.errors.push(err.message)
    }
  })
  result.requests = balancer.requests - before
  return result
}

const times = (n) => Array.from({ length: n })

// workers send n requests in all, ten at a time, with pauses in between: a client
// of one process that has none takes the nonce of its own response each time.
async function workers(client, attempt, n, pause = 0) {
  let left = n
  await Promise.all(times(10).map(async () => {
    while (left-- > 0) {
      await attempt(client.resource)
      if (pause) await setTimeout(Math.random() * pause)
    }
  }))
}

// spend uses a nonce by another client.
async function spend(issuer, nonce) {
  const proof = await dpop.generateProof(await dpop.generateKeyPair('ES256'), `${issuer}/token`, 'POST', nonce)
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { dpop: proof, authorization: 'Basic ' + btoa('demo:demo-secret'), 'content-type': 'application/x-www-form-urlencoded' },
    body: 'grant_type=client_credentials',
  })
  if (!response.ok) throw new Error(`the nonce cannot be spent: ${response.status}`)
}

// withClock runs fn in a process whose clock is ahead.
async function withClock(seconds, fn) {
  const { now } = Date
  Date.now = () => now() + seconds * 1000
  try {
    return await fn()
  } finally {
    Date.now = now
  }
}

// withClient runs fn with a new client whose clock is ahead by so many seconds.
async function withClient(open, issuer, skew, fn) {
  const client = await open(issuer, skew)
  try {
    return await withClock(skew, () => fn(client))
  } finally {
    await client.close()
  }
}

async function both(client, attempt) {
  await attempt(client.token)
  await attempt(client.resource)
}

// scenarios returns the results of a client, by name, for this many requests of
// ten workers.
export async function scenarios(open, server, sustained) {
  const { balancer, issuer } = server
  const results = {}
  await withClient(open, issuer, 0, async (client) => {
    results.cold = await run(balancer, (attempt) => both(client, attempt))
    results.sequence = await run(balancer, async (attempt) => { for (const _ of times(20)) await attempt(client.resource) })
    results.roles = await run(balancer, async (attempt) => { for (const _ of times(10)) await both(client, attempt) })
    results.tenAtOnce = await run(balancer, (attempt) => Promise.all(times(10).map(() => attempt(client.resource))))
    results.sustained = await run(balancer, (attempt) => workers(client, attempt, sustained))
    results.pausing = await run(balancer, (attempt) => workers(client, attempt, sustained, 10))

    await client.resource()
    await spend(issuer, balancer.nonce)
    results.used = await run(balancer, (attempt) => attempt(client.resource))
    const log = await server.later(async () => { results.expired = await run(balancer, (attempt) => attempt(client.resource)) })
    results.expired.reason = log.find(({ msg }) => msg === 'proof refused')?.reason

    await client.resource() // its nonce was an hour ahead
    balancer.replaying = true
    balancer.replays = { sent: 0, accepted: 0 }
    results.stolen = await run(balancer, (attempt) => workers(client, attempt, Math.ceil(sustained / 10)))
    results.stolen.replays = balancer.replays
    balancer.replaying = false
  })
  for (const [name, skew] of [['behind', -3600], ['ahead', 3600]]) {
    results[name] = await withClient(open, issuer, skew, (client) => run(balancer, (attempt) => both(client, attempt)))
  }
  return results
}
