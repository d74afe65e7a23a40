// The page of -page, in headless Chromium: a person clicks through the steps, and
// the rows say what the servers answered. With SCREENSHOT=file.png it also takes
// the picture of the documentation.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { chromium } from 'playwright-core'

// serve starts the page and its servers, and returns the page's URL.
async function serve(t, flags) {
  const server = spawn(process.env.AUTHSERVER, ['-page', '-addr', '127.0.0.1:0', ...flags], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(server, 'exit')
  t.after(async () => {
    server.kill('SIGINT')
    assert.deepEqual(await ended, [0, null])
  })
  for await (const line of createInterface({ input: server.stdout })) {
    const url = line.match(/^Open (\S+)/)?.[1]
    if (url) {
      server.stdout.resume()
      return url
    }
  }
  throw new Error('the server ended')
}

async function visit(t, ...flags) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
  t.after(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1280, height: 960 }, reducedMotion: 'reduce' })
  page.on('pageerror', (err) => assert.fail(err))
  await page.goto((await serve(t, flags)).replace('127.0.0.1', 'localhost')) // as people type it
  await ready(page)
  return page
}

const ready = (page) => page.waitForFunction(() => document.body.dataset.state === 'ready')

// click runs a step and returns its rows.
async function click(page, step) {
  await page.click(`#step-${step}`)
  await ready(page)
  return page.$$eval(`[data-step="${step}"] .exchange, [data-step="${step}"] tbody tr`, (rows) => rows.map((row) => ({
    text: row.innerText, ...row.dataset, answer: `${row.dataset.outcome} ${row.dataset.status} ${row.dataset.error}`.trim(),
  })))
}

const challenged = 'challenge 401 use_dpop_nonce'

test('page shows what servers answer', async (t) => {
  const page = await visit(t)
  for (const policy of ['single use', 'window']) {
    await t.test(`under ${policy}`, async () => {
      const single = policy === 'single use'
      await page.locator('#policy').getByText(policy).click()
      assert.equal(await page.isVisible('#empty'), true)
      const shown = {}
      for (const [step, ...want] of [
        ['sign'],
        ['challenge', 'challenge 400 use_dpop_nonce'],
        ['retry', 'accepted 200'],
        ['resource', 'accepted 200'],
        ['proof', single ? challenged : 'refused 401 invalid_dpop_proof'],
        ['nonce', single ? challenged : 'accepted 200'],
        ['forged', challenged],
      ]) {
        const rows = await click(page, step)
        assert.deepEqual(rows.map(({ answer }) => answer), want, step)
        shown[step] = rows[0]
      }
      const { challenge, retry, resource, proof, nonce, forged } = shown
      assert.ok(challenge.nonce === '' && retry.nonce === challenge.next, 'retries with the nonce of the challenge')
      assert.equal(retry.next !== '', single, 'a success carries the next nonce under single use')
      assert.ok(proof.jti === resource.jti && proof.nonce === resource.nonce, 'replays the proof')
      assert.ok(nonce.jti !== resource.jti && nonce.nonce === resource.nonce, 'replays the nonce in a new proof')
      assert.match(forged.text, /WWW-Authenticate\s+DPoP error="use_dpop_nonce"[^]*Cache-Control\s+no-store/)

      const ten = (await click(page, 'ten')).map(({ answer }) => answer)
      const count = (answer) => ten.filter((a) => a === answer).length
      assert.deepEqual([count('accepted 200'), count(challenged), ten.length], single ? [10, 9, 19] : [10, 0, 10])
      if (single && process.env.SCREENSHOT) {
        await page.locator('[data-step="challenge"]').evaluate((step) => step.scrollIntoView())
        await page.screenshot({ path: process.env.SCREENSHOT })
      }
    })
  }
  await page.locator('#policy').getByText('single use').click()
  assert.equal(await page.locator('.step').count(), 8, 'keeps what was shown under the other policy')
})

test('page goes on when a nonce has expired', async (t) => {
  const page = await visit(t, '-ttl', '2s')
  const choose = (policy) => page.locator('#policy').getByText(policy).click()
  const answers = async (step) => (await click(page, step)).map(({ answer }) => answer)
  for (const step of ['sign', 'challenge', 'retry']) await click(page, step)
  await choose('window')
  for (const step of ['sign', 'challenge', 'retry', 'resource', 'proof', 'nonce', 'forged']) await click(page, step)
  for (let expired = 0; expired < 2; expired++) { // each takes a second at least: then that of single use has, too
    for (const step of ['ten', 'proof']) await click(page, step)
    while ((await answers('nonce')).at(-1) !== challenged);
  }
  assert.match(await page.innerText('[data-step="nonce"]:last-child .told'), /has expired/)
  assert.equal((await answers('proof')).at(-1), challenged)
  assert.match(await page.innerText('[data-step="proof"]:last-child .told'), /has expired/)
  await choose('single use')
  assert.deepEqual(await answers('resource'), [challenged, 'accepted 200'])
})
