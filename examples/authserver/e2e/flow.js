// The flow of a client that uses oauth4webapi as its documentation says. The
// same file runs in Node and, unchanged, in a browser.
import * as oauth from 'oauth4webapi'

const insecure = { [oauth.allowInsecureRequests]: true } // http on loopback
const clientAuth = oauth.ClientSecretBasic('demo-secret')
const client = { client_id: 'demo' }
export const maxAttempts = 10

// retried repeats a request for as long as the server wants another nonce, and
// returns its result and how many attempts it took.
async function retried(request) {
  for (let attempts = 1; ; attempts++) {
    try {
      return { result: await request(), attempts }
    } catch (err) {
      if (!oauth.isDPoPNonceError(err) || attempts === maxAttempts) throw err
    }
  }
}

// newFlow is a client with a key of its own. Each of its handles remembers the
// nonces that it was handed; more of them share the key.
export async function newFlow(issuer) {
  const as = await oauth
    .discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...insecure })
    .then((response) => oauth.processDiscoveryResponse(new URL(issuer), response))
  const keys = await oauth.generateKeyPair('ES256', { extractable: false })
  const handle = (options) => oauth.DPoP(client, keys, options)
  let DPoP = handle()
  let last, nonce // what was answered last, and the nonce that came last
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
    // inParallel sends n requests at once, all with the nonce that is remembered.
    inParallel: (n, token) => Promise.all(Array.from({ length: n }, () => retried(() => resourceOnce(token)))),
    // replay sends a proof, new in all else, with a nonce of the caller's choice.
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
    // repeat sends one and the same request twice.
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
    forget: () => { DPoP = handle() },
    nonce: () => nonce,
    last: () => last,
  }
}

// distribution counts the requests by the attempts that they took.
export function distribution(results) {
  const counts = {}
  for (const { attempts } of results) counts[attempts] = (counts[attempts] ?? 0) + 1
  return Object.entries(counts).map(([attempts, n]) => `${n} in ${attempts}`).join(', ')
}
