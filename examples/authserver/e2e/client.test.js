// What the server answers to oauth4webapi in Node.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { newFlow } from './flow.js'
import { start } from './server.js'

for (const policy of ['single-use', 'window']) {
  test(`oauth4webapi passes under ${policy}`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'dpopnonce-'))
    t.after(() => rm(dir, { recursive: true }))
    const args = ['-policy', policy, '-file', join(dir, 'nonces.db')]
    let server = await start([...args, '-addr', '127.0.0.1:0'])
    t.after(() => server.stop())
    const { host } = new URL(server.issuer)
    const flow = await newFlow(server.issuer)
    let token, spent

    await t.test('first token request passes on retry', async () => {
      const { result, attempts } = await flow.token()
      assert.equal(attempts, 2)
      token = result
    })

    await t.test('resource on the same origin takes that nonce', async () => {
      const { result, attempts } = await flow.resource(token)
      assert.equal(attempts, 1)
      assert.deepEqual(result, { hello: 'demo' })
    })

    await t.test('later requests pass at once', async () => {
      for (let i = 0; i < 20; i++) {
        spent = flow.nonce()
        assert.equal((await flow.resource(token)).attempts, 1)
        assert.equal(flow.last().headers.has('dpop-nonce'), policy === 'single-use', 'a success carries the next nonce under single-use only')
      }
    })

    if (policy === 'single-use') {
      await t.test('used nonce is rejected', async () => {
        assert.equal(await flow.replay(token, spent), 'use_dpop_nonce')
        assert.equal(server.log.findLast((entry) => entry.msg === 'proof refused').reason, 'used')
      })
    } else {
      await t.test('used nonce is accepted', async () => {
        assert.equal(await flow.replay(token, spent), 'accepted')
      })
    }

    await t.test('replayed proof is refused', async () => {
      const answers = await flow.repeat(token)
      assert.deepEqual(answers, [200, 401])
    })

    await t.test('unknown nonce is rejected', async () => {
      assert.equal(await flow.replay(token, 'never-issued'), 'use_dpop_nonce')
      assert.equal(flow.last().status, 401)
    })

    await t.test('token and nonce survive a restart', async () => {
      await flow.resource(token)
      await server.stop()
      server = await start([...args, '-addr', host])
      assert.equal((await flow.resource(token)).attempts, 1)
    })
  })
}
