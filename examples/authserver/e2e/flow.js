// The flow of a client that uses oauth4webapi as its documentation says. This
// file runs unchanged in Node and in a browser.
import * as oauth from 'oauth4webapi'

const insecure = { [oauth.allowInsecureRequests]: true } // http on loopback
const clientAuth = oauth.ClientSecretBasic('demo-secret')
const client = { client_id: 'demo' }

// retried repeats a challenged request once, and returns its result and the number
// of attempts.
async function retried(request) {
  try {
    return { result: await request(), attempts: 1 }
  } catch (err) {
    if (!oauth.isDPoPNonceError(err)) throw err
  }
  return { result: await request(), attempts: 2 }
}

// newFlow returns a client with a new key. Each of its DPoP handles remembers
// nonces of its own; all handles use the same key.
export async function newFlow(issuer) {
  const as = await oauth
    .discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...insecure })
    .then((response) => oauth.processDiscoveryResponse(new URL(issuer), response))
  const keys = await oauth.generateKeyPair('ES256', { extractable: false })
  const handle = (options) => oauth.DPoP(client, keys, options)
  const DPoP = handle()
  let last, nonce // the last response and the last nonce
  const customFetch = async (...args) => {
    last = await fetch(...args)
    nonce = last.headers.get('dpop-nonce') ?? nonce
    return last
  }

  const tokenOnce = async (dpop = DPoP) => {
    const options = { DPoP: dpop, [oauth.customFetch]: customFetch, ...insecure }
    const response = await oauth.clientCredentialsGrantRequest(as, client, clientAuth, new URLSearchParams(), options)
    return (await oauth.processClientCredentialsResponse(as, client, response)).access_token
  }
  const resourceOnce = async (token, dpop = DPoP) => {
    const url = new URL('/resource', issuer)
    const options = { DPoP: dpop, [oauth.customFetch]: customFetch, ...insecure }
    return (await oauth.protectedResourceRequest(token, 'GET', url, undefined, undefined, options)).json()
  }
  return {
    token: () => retried(tokenOnce),
    resource: (token) => retried(() => resourceOnce(token)),
    // inParallel sends n requests at once, all with the remembered nonce.
    inParallel: (n, token) => Promise.all(Array.from({ length: n }, () =>
      retried(() => resourceOnce(token)).catch(() => ({ attempts: 'vain' })))),
    // replay sends a new proof with the given nonce.
    replay: async (token, nonce) => {
      const replaying = handle({ [oauth.modifyAssertion]: (_, payload) => { payload.nonce = nonce } })
      try {
        await resourceOnce(token, replaying)
        return 'accepted'
      } catch (err) {
        if (oauth.isDPoPNonceError(err)) return 'use_dpop_nonce'
        throw err
      }
    },
    // repeat sends the same request twice, with the same proof.
    repeat: async (token) => {
      const answers = []
      const twice = async (...args) => {
        for (let i = 0; i < 2; i++) answers.push(await customFetch(...args))
        return answers[0]
      }
      const options = { DPoP, [oauth.customFetch]: twice, ...insecure }
      await oauth.protectedResourceRequest(token, 'GET', new URL('/resource', issuer), undefined, undefined, options)
      return answers.map(({ status }) => status)
    },
    nonce: () => nonce,
    last: () => last,
  }
}

// distribution counts requests by their number of attempts.
export function distribution(results) {
  const counts = {}
  for (const { attempts } of results) counts[attempts] = (counts[attempts] ?? 0) + 1
  return Object.entries(counts).map(([attempts, n]) => `${n} in ${attempts}`).join(', ')
}
