// A balancer in front of the nodes of one server. It counts requests, keeps the
// last nonce of a response, and can send each request to all nodes at once, as
// one who has stolen its proof would.
import { createServer, request as send, Agent } from 'node:http'

export async function newBalancer() {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const forward = (node, request, body) => new Promise((resolve, reject) => {
    const { hostname, port } = new URL(`http://${node}`)
    const { method, url: path, headers } = request
    send({ agent, hostname, port, method, path, headers }, async (response) => {
      const chunks = []
      for await (const chunk of response) chunks.push(chunk)
      resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) })
    }).on('error', reject).end(body)
  })

  // all sends a request to each node at once, and then again, and returns the
  // answer that the client gets.
  const all = async (request, body) => {
    const answers = await Promise.all(balancer.nodes.map((node) => forward(node, request, body)))
    answers.push(await forward(balancer.nodes[0], request, body))
    const passed = answers.filter(({ status }) => status === 200)
    if (passed.length > 0) balancer.replays.sent += answers.length - 1
    if (passed.length > 1) balancer.replays.accepted += passed.length - 1
    return passed[0] ?? answers[0]
  }

  const server = createServer(async (request, response) => {
    try {
      const chunks = []
      for await (const chunk of request) chunks.push(chunk)
      const body = Buffer.concat(chunks)
      const node = balancer.nodes[balancer.requests++ % balancer.nodes.length]
      const answer = await (balancer.replaying ? all(request, body) : forward(node, request, body))
      balancer.nonce = answer.headers['dpop-nonce'] ?? balancer.nonce
      response.writeHead(answer.status, answer.headers).end(answer.body)
    } catch (err) {
      response.writeHead(502).end(err.message)
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const balancer = {
    url: `http://127.0.0.1:${server.address().port}`,
    nodes: [], // addresses
    requests: 0,
    nonce: undefined,
    replaying: false,
    replays: { sent: 0, accepted: 0 },
    close: () => { server.closeAllConnections(); server.close(); agent.destroy() },
  }
  return balancer
}
