// An OAuth client with a DPoP key (RFC 9449), on nothing but WebCrypto and fetch.

const utf8 = new TextEncoder()

function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

// A Client has a key, a token and, as clients do, one nonce for the server's
// origin.
export class Client {
  static async create(server) {
    const client = new Client()
    client.server = server
    // false: nobody can read the private key, this page included.
    client.keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
    const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', client.keys.publicKey)
    client.jwk = { kty, crv, x, y }
    return client
  }

  // tokenProof and resourceProof sign a proof for one request (section 4.2).
  tokenProof(nonce) {
    return this.sign('POST', '/token', nonce)
  }

  async resourceProof(nonce) {
    const ath = base64url(await crypto.subtle.digest('SHA-256', utf8.encode(this.token)))
    return this.sign('GET', '/resource', nonce, { ath })
  }

  async sign(htm, path, nonce, more = {}) {
    const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: this.jwk }
    const claims = { jti: crypto.randomUUID(), htm, htu: this.server.issuer + path, iat: Math.floor(Date.now() / 1000), ...more }
    if (nonce) claims.nonce = nonce
    const input = [header, claims].map((part) => base64url(utf8.encode(JSON.stringify(part)))).join('.')
    const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, this.keys.privateKey, utf8.encode(input))
    return { header, claims, text: `${input}.${base64url(signature)}` }
  }

  async requestToken(proof) {
    const { id, secret } = this.server.client
    const exchange = await this.send('as', proof, { Authorization: `Basic ${btoa(`${id}:${secret}`)}` },
      new URLSearchParams({ grant_type: 'client_credentials' }))
    this.token = exchange.body?.access_token ?? this.token
    return exchange
  }

  requestResource(proof) {
    return this.send('rs', proof, { Authorization: `DPoP ${this.token}` })
  }

  // send returns what was sent and what came back, and remembers the nonce
  // (section 8.2).
  async send(to, proof, headers, body) {
    const { htm: method, htu: url } = proof.claims
    const response = await fetch(url, { method, body, headers: { ...headers, DPoP: proof.text }, cache: 'no-store' })
    const text = await response.text()
    const answer = {}
    for (const name of ['DPoP-Nonce', 'WWW-Authenticate', 'Cache-Control']) answer[name] = response.headers.get(name)
    this.nonce = answer['DPoP-Nonce'] ?? this.nonce
    const exchange = { to, method, url, proof, headers, status: response.status, answer, text }
    try {
      exchange.body = JSON.parse(text)
    } catch { /* a response without JSON */ }
    exchange.error = exchange.body?.error ?? answer['WWW-Authenticate']?.match(/error="([^"]*)"/)?.[1]
    exchange.outcome = response.ok ? 'accepted' : exchange.error === 'use_dpop_nonce' ? 'challenge' : 'refused'
    return exchange
  }
}
