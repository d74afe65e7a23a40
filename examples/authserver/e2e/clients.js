// The clients, each with the one retry that it has by itself. A client has
// token() and resource(), which throw unless the server accepts in the end, and
// close().
import { JoseKey } from '@atproto/jwk-jose'
// The package does not export its wrapper by itself.
import { dpopFetchWrapper } from './node_modules/@atproto/oauth-client/dist/fetch-dpop.js'
import * as dpop from 'dpop'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import * as openid from 'openid-client'
import { newFlow } from './flow.js'

const basic = 'Basic ' + btoa('demo:demo-secret')
const form = { method: 'POST', body: 'grant_type=client_credentials' }
const formHeaders = { authorization: basic, 'content-type': 'application/x-www-form-urlencoded' }
const close = async () => {}

async function accepted(response) {
  const body = await response.json()
  if (!response.ok) throw new Error(`${response.status} ${body.error}`)
  return body
}

// withFetch is a client of two functions that fetch with proofs.
function withFetch(issuer, atServer, atResource) {
  let token
  return {
    token: async () => { token = (await accepted(await atServer(`${issuer}/token`, { ...form, headers: formHeaders }))).access_token },
    resource: async () => accepted(await atResource(`${issuer}/resource`, { headers: { authorization: `DPoP ${token}` } })),
    close,
  }
}

// oauth4webapi leaves the retry to its caller, and tells him when.
async function openOAuth4WebAPI(issuer) {
  const flow = await newFlow(issuer)
  let token
  return {
    token: async () => { token = (await flow.token()).result },
    resource: () => flow.resource(token),
    close,
  }
}

export async function openOpenIDClient(issuer) {
  const config = await openid.discovery(new URL(issuer), 'demo', undefined, openid.ClientSecretBasic('demo-secret'),
    { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] })
  const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
  let token
  return {
    config,
    DPoP,
    token: async () => { token = (await openid.clientCredentialsGrant(config, {}, { DPoP })).access_token },
    resource: async () => accepted(await openid.fetchProtectedResource(config, token, new URL('/resource', issuer), 'GET', null, undefined, { DPoP })),
    close,
  }
}

// dpop makes proofs. The nonces, one for each origin, and the retry are its
// caller's: with the nonce of the challenge.
async function openDPoP(issuer) {
  const keys = await dpop.generateKeyPair('ES256')
  const nonces = new Map()
  const send = async (url, init, nonce) => {
    const { authorization } = init.headers
    const token = authorization.startsWith('DPoP ') ? authorization.slice(5) : undefined
    const proof = await dpop.generateProof(keys, url, init.method ?? 'GET', nonce, token)
    const response = await fetch(url, { ...init, headers: { ...init.headers, dpop: proof } })
    const next = response.headers.get('dpop-nonce')
    if (next) nonces.set(issuer, next)
    return response
  }
  const sendTwice = async (url, init) => {
    const response = await send(url, init, nonces.get(issuer))
    if (response.ok || (await response.clone().json()).error !== 'use_dpop_nonce') return response
    return send(url, init, response.headers.get('dpop-nonce'))
  }
  return withFetch(issuer, sendTwice, sendTwice)
}

async function openATProto(issuer) {
  const key = await JoseKey.generate(['ES256'])
  const nonces = new Map()
  const wrapped = (isAuthServer) => dpopFetchWrapper({ key, nonces, isAuthServer, supportedAlgs: ['ES256'], fetch })
  return withFetch(issuer, wrapped(true), wrapped(false))
}

// goclient is another process: it gets its commands by lines.
async function openGo(issuer, skew) {
  const child = spawn(process.env.GOCLIENT, ['-issuer', issuer, '-skew', `${skew}s`], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const waiting = new Map()
  ended.then(() => waiting.forEach(({ reject }) => reject(new Error('goclient ended'))))
  let id = 0
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, error } = JSON.parse(line)
    const { resolve, reject } = waiting.get(id)
    waiting.delete(id)
    if (error) reject(new Error(error))
    else resolve()
  })
  const command = (what) => new Promise((resolve, reject) => {
    waiting.set(++id, { resolve, reject })
    child.stdin.write(JSON.stringify({ id, do: what }) + '\n')
  })
  return {
    token: () => command('token'),
    resource: () => command('resource'),
    close: async () => { child.stdin.end(); await ended },
  }
}

const version = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version
const goVersion = () => /golang.org\/x\/oauth2 v(\S+)/.exec(readFileSync(new URL('../go.mod', import.meta.url)))[1]

export const clients = [
  { name: 'oauth4webapi', version: version('oauth4webapi'), open: openOAuth4WebAPI },
  { name: 'openid-client', version: version('openid-client'), open: openOpenIDClient },
  { name: 'dpop', version: version('dpop'), open: openDPoP },
  { name: '@atproto/oauth-client', version: version('@atproto/oauth-client'), open: openATProto },
  { name: 'golang.org/x/oauth2', version: goVersion(), open: openGo },
]
