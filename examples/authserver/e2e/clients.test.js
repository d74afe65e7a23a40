// Each client with its one retry, against two nodes, with few requests.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as openid from 'openid-client'
import { clients, openOpenIDClient } from './clients.js'
import { newServer, scenarios } from './scenarios.js'

// What each scenario takes: requests and successes. Where clients send at once
// under single-use, chance decides.
const always = { cold: [3, 2], sequence: [20, 20], roles: [20, 20], expired: [2, 1], behind: [3, 2], ahead: [3, 2] }
const expected = {
  'window': { ...always, tenAtOnce: [10, 10], sustained: [200, 200], pausing: [200, 200], stolen: [20, 20], used: [1, 1] },
  'single-use': { ...always, used: [2, 1] },
}

for (const [policy, wanted] of Object.entries(expected)) {
  test(`clients pass under ${policy}`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'dpopnonce-'))
    const server = await newServer(['-policy', policy, '-file', join(dir, 'nonces.db')])
    t.after(async () => {
      await server.stop()
      await rm(dir, { recursive: true })
    })
    for (const { name, open } of clients) {
      await t.test(name, async () => {
        const results = await scenarios(open, server, 200)
        for (const [scenario, [requests, successes]] of Object.entries(wanted)) {
          const { errors, ...result } = results[scenario]
          assert.deepEqual([result.requests, result.successes, result.failures], [requests, successes, 0], `${scenario}: ${errors}`)
        }
        assert.equal(results.expired.reason, 'expired')
        assert.ok(results.stolen.replays.sent > 0)
        assert.equal(results.stolen.replays.accepted, 0)
      })
    }

    await t.test('openid-client pushes an authorization request', async () => {
      const { config, DPoP, token } = await openOpenIDClient(server.issuer)
      const redirect_uri = 'http://127.0.0.1:8081/callback'
      const pkceCodeVerifier = openid.randomPKCECodeVerifier()
      const expectedState = openid.randomState()
      const page = await openid.buildAuthorizationUrlWithPAR(config, {
        redirect_uri,
        code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
        code_challenge_method: 'S256',
        state: expectedState,
      }, { DPoP })
      const { headers } = await fetch(page, { redirect: 'manual' })
      const callback = new URL(headers.get('location'))
      assert.equal(callback.origin + callback.pathname, redirect_uri)
      const tokens = await openid.authorizationCodeGrant(config, callback, { pkceCodeVerifier, expectedState }, undefined, { DPoP })
      assert.equal(tokens.token_type, 'dpop')
      await token()
    })
  })
}
