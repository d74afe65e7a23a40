// The steps, and what each of them shows. told gets the exchanges of the step
// and returns what happened, in a sentence or two; rfc is the section of RFC 9449.

const single = (policy) => policy === 'single-use'

// send repeats a request whose nonce has expired while somebody read.
async function send(log, request) {
  const exchange = await request()
  log.exchange(exchange)
  if (exchange.outcome === 'challenge') log.exchange(await request())
}

const expired = 'The nonce has expired meanwhile: the server challenges, and the client signs a proof with a new one.'

export const steps = [
  {
    id: 'sign',
    title: 'Sign a proof',
    rfc: '4.2',
    async run(client, log) {
      client.first = await client.tokenProof()
      log.proof(client.first)
    },
    told: () => `The browser made a key that no script can read, and signed a proof with it: for which request it is
      (<code>htm</code>, <code>htu</code>), when it was made (<code>iat</code>), and an id that no other proof has (<code>jti</code>).
      It has no nonce yet.`,
  },
  {
    id: 'challenge',
    title: 'Be challenged',
    rfc: '8',
    async run(client, log) {
      log.exchange(await client.requestToken(client.first))
    },
    told: () => `The proof is valid, but nothing in it comes from the server: it could have been made long ago, for later use.
      The server answers <code>use_dpop_nonce</code> and sends a nonce. <code>no-store</code> keeps it out of caches.`,
  },
  {
    id: 'retry',
    title: 'Retry with the nonce',
    rfc: '8.2',
    async run(client, log) {
      await send(log, async () => client.requestToken(await client.tokenProof(client.nonce)))
    },
    told: (policy, sent) => sent.length > 1 ? expired : `A new proof, now with the nonce: accepted. The token is bound to the key, so that a thief cannot use it.
      ${single(policy) ? 'The nonce is spent, and the response brings the next one.' : 'The nonce stays good until it expires, and there is no need for another.'}`,
  },
  {
    id: 'resource',
    title: 'Call the resource',
    rfc: '7.1',
    async run(client, log) {
      await send(log, async () => client.requestResource(await client.resourceProof(client.nonce)))
    },
    told: (policy, sent) => sent.length > 1 ? expired : `The proof now also has the hash of the token (<code>ath</code>), and the nonce that the client has. It passes at once:
      both servers are on one origin, for which clients keep one nonce, and share their nonces.`,
  },
  {
    id: 'proof',
    title: 'Replay the proof',
    rfc: '11.1',
    async run(client, log, last) {
      client.stolen = last.proof
      log.exchange(await client.requestResource(client.stolen))
    },
    told: (policy, [{ error, outcome }]) => `The very same request once more, as a thief would send it. ${outcome === 'accepted'
      ? 'It passes: this server remembers no proofs, and is open to replay.' : error === 'use_dpop_nonce'
        ? `Its nonce ${single(policy) ? 'is spent' : 'has expired'}, and the thief cannot sign a proof with the new one: that takes the key.`
        : 'The server has seen this <code>jti</code>, and no nonce helps: <code>invalid_dpop_proof</code>.'}`,
  },
  {
    id: 'nonce',
    title: 'Replay the nonce',
    rfc: '8',
    async run(client, log) {
      log.exchange(await client.requestResource(await client.resourceProof(client.stolen.claims.nonce)))
    },
    told: (policy, [{ outcome }]) => `The client signs a new proof with the nonce that was accepted above. ${outcome === 'accepted'
      ? 'It passes: within its window a nonce is good for any number of proofs, and each proof for one request.'
      : single(policy) ? 'Single use is stricter than the RFC asks: the nonce was accepted once, on all nodes together, and is not again.'
        : 'It has expired meanwhile. Until then it was good for any number of proofs.'}`,
  },
  {
    id: 'forged',
    title: 'Make up a nonce',
    rfc: '9',
    async run(client, log) {
      log.exchange(await client.requestResource(await client.resourceProof('made-up-by-the-client')))
    },
    told: () => `The server knows its own nonces. It does not say what is wrong with another: unknown, used and expired are one and the same
      challenge, and a good nonce comes with it. At a resource it is 401, with <code>WWW-Authenticate</code>.`,
  },
  {
    id: 'ten',
    title: 'Ten at once',
    rfc: '8.2',
    async run(client, log) {
      const nonce = client.nonce
      await Promise.all(Array.from({ length: 10 }, async (_, request) => {
        for (let attempt = 1, next = nonce; attempt <= 5; attempt++) {
          const exchange = await client.requestResource(await client.resourceProof(next))
          log.exchange({ ...exchange, request, attempt })
          if (exchange.outcome !== 'challenge') return
          next = exchange.answer['DPoP-Nonce']
        }
      }))
    },
    told: (policy, sent) => `Ten requests leave together, all with the one nonce that the client has. ${sent.length > 10
      ? `One is accepted, and the others are challenged and sent again: ${sent.length} requests for ten answers.`
      : 'All are accepted: ten requests for ten answers.'} ${single(policy)
      ? 'This is what single use costs clients that send in parallel.' : 'This is why clients that send in parallel want a window.'}`,
  },
]

export const policies = {
  'single-use': 'Each nonce is spent by the first proof that carries it. A replay is refused by its nonce.',
  window: 'A nonce is good until it expires, and each proof is accepted once. A replay is refused by its <code>jti</code>.',
}
