// The flow from a page of another origin, in headless Chromium. Without the CORS
// headers the page could not read DPoP-Nonce or WWW-Authenticate.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { chromium } from 'playwright-core'
import { start } from './server.js'

const files = {
  '/': ['text/html', 'page.html'],
  '/flow.js': ['text/javascript', 'flow.js'],
  '/oauth4webapi.js': ['text/javascript', 'node_modules/oauth4webapi/build/index.js'],
}

// site serves the page.
async function site(t) {
  const server = createServer(async (request, response) => {
    const [type, file] = files[request.url] ?? []
    if (!file) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': type }).end(await readFile(new URL(file, import.meta.url)))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${server.address().port}`
}

// visit opens the page in a new browser.
async function visit(t, origin) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
  t.after(() => browser.close())
  const page = await browser.newPage()
  await page.goto(origin)
  await page.waitForFunction(() => document.title === 'ready')
  return page
}

for (const policy of ['single-use', 'window']) {
  test(`page of another origin passes under ${policy}`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'dpopnonce-'))
    t.after(() => rm(dir, { recursive: true }))
    const origin = await site(t)
    const args = ['-policy', policy, '-file', join(dir, 'nonces.db'), '-addr', '127.0.0.1:0']
    const server = await start([...args, '-origin', origin])
    t.after(() => server.stop())
    const page = await visit(t, origin)

    const { parallel, ...answers } = await page.evaluate((issuer) => window.run(issuer), server.issuer)
    assert.deepEqual(answers, { forToken: 2, forResource: 1, again: 1, result: { hello: 'demo' } })
    if (policy === 'window') assert.equal(parallel, '10 in 1')
    t.diagnostic(`${policy}, in Chromium: attempts of ten requests in parallel: ${parallel}`)

    const closed = await start([...args.slice(0, 3), join(dir, 'closed.db'), '-addr', '127.0.0.1:0'])
    t.after(() => closed.stop())
    await assert.rejects(page.evaluate((issuer) => window.run(issuer), closed.issuer), /fetch/i,
      'a server without this origin cannot be read')
  })
}
