// oauth4webapi, in Node, against the server.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { distribution, maxAttempts, newFlow } from './flow.js'
import { start } from './server.js'

for (const policy of ['single-use', 'window']) {
  test(`oauth4webapi under ${policy}`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'dpopnonce-'))
    t.after(() => rm(dir, { recursive: true }))
    const args = ['-policy', policy, '-file', join(dir, 'nonces.db')]
    let server = await start([...args, '-addr', '127.0.0.1:0'])
    t.after(() => server.stop())
    const { host } = new URL(server.issuer)
    const flow = await newFlow(server.issuer)
    let token, spent

    await t.test('the first token request is challenged, its retry gets a token', async () => {
      const { result, attempts } = await flow.token()
      assert.equal(attempts, 2)
      token = result
    })

    await t.test('the resource server wants a nonce of its own', async () => {
      const { result, attempts } = await flow.resource(token)
      assert.equal(attempts, 2)
      assert.deepEqual(result, { hello: 'demo' })
    })

    await t.test('from then on every request passes at once', async () => {
      for (let i = 0; i < 20; i++) {
        spent = flow.nonce()
        assert.equal((await flow.resource(token)).attempts, 1)
        assert.equal(flow.last().headers.has('dpop-nonce'), policy === 'single-use', 'the next nonce comes with a success')
      }
    })

    if (policy === 'single-use') {
      await t.test('a nonce that was used before is refused', async () => {
        assert.equal(await flow.replay(token, spent), 'use_dpop_nonce')
        assert.equal(server.log.findLast((entry) => entry.msg === 'nonce rejected').reason, 'used')
      })
    } else {
      await t.test('a nonce that was used before is accepted', async () => {
        assert.equal(await flow.replay(token, spent), 'accepted')
      })
    }

    await t.test('a proof that was sent before is refused', async () => {
      const answers = await flow.repeat(token)
      assert.deepEqual(answers, [200, 401])
    })

    await t.test('a nonce that was never issued is refused', async () => {
      assert.equal(await flow.replay(token, 'never-issued'), 'use_dpop_nonce')
      assert.equal(flow.last().status, 401)
    })

    for (const [state, prepare] of [
      ['with one remembered nonce', () => flow.resource(token)],
      ['without a nonce', () => flow.forget()],
    ]) {
      await t.test(`ten requests in parallel, ${state}`, async (t) => {
        await prepare()
        const results = await flow.inParallel(10, token)
        assert.ok(results.every(({ attempts }) => attempts <= maxAttempts))
        t.diagnostic(`${policy}, ${state}: attempts of ten requests in parallel: ${distribution(results)}`)
      })
    }

    await t.test('token, nonce and key outlive a restart of the server', async () => {
      await flow.resource(token)
      await server.stop()
      server = await start([...args, '-addr', host])
      assert.equal((await flow.resource(token)).attempts, 1)
    })
  })
}
