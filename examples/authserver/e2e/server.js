// Starts and stops the server under test. AUTHSERVER is the path of its binary.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export async function start(args) {
  const server = spawn(process.env.AUTHSERVER, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(server, 'close') // and its log is complete
  const log = []
  const lines = createInterface({ input: server.stdout })
  const { issuer, address } = await new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const entry = JSON.parse(line)
      log.push(entry)
      if (entry.msg === 'listening') resolve(entry)
    })
    ended.then(([code]) => reject(new Error(`the server exited with ${code}`)), reject)
  })
  return {
    issuer,
    address,
    log,
    stop: async () => {
      server.kill('SIGTERM')
      const [code] = await ended
      if (code !== 0) throw new Error(`the server exited with ${code}`)
    },
  }
}
