// Runs the steps under either policy, and keeps what each has shown.
import { Client } from './client.js'
import { policies, steps } from './steps.js'
import { exchangeCard, h, parallelCard, proofCard } from './view.js'

const rfc = 'https://www.rfc-editor.org/rfc/rfc9449#section-'
const $ = (id) => document.getElementById(id)
const servers = await (await fetch('servers.json')).json()
const runs = {} // by policy
let policy = 'single-use'
let busy = false

async function begin(name) {
  runs[name] = { client: await Client.create(servers[name]), done: 0, shown: [], outcomes: {} }
}

// step runs the next step, or repeats one that was run before.
async function step(index) {
  const run = runs[policy]
  const { id, title, rfc: section, told, run: act } = steps[index]
  const exchanges = []
  const cards = []
  await act(run.client, {
    proof: (proof) => cards.push(proofCard(proof)),
    exchange: (exchange) => exchanges.push(exchange),
  }, run.last)
  cards.push(...(exchanges[0]?.attempt ? [parallelCard(exchanges)] : exchanges.map(exchangeCard)))
  const text = h('p', { className: 'told' })
  text.innerHTML = told(policy, exchanges) // our own text: nothing of a response is in it
  text.append(' ', h('a', { href: rfc + section, target: '_blank', rel: 'noopener' }, `RFC 9449, section ${section}`))
  run.last = exchanges.findLast(({ outcome }) => outcome === 'accepted') ?? run.last
  run.done = Math.max(run.done, index + 1)
  run.outcomes[id] = exchanges.map(({ outcome }) => outcome)
  run.shown.push(h('section', { className: 'step', data: { step: id } }, h('h2', {}, h('span', {}, String(index + 1)), title), text, ...cards))
}

// exclusive runs fn with all buttons off, and shows a failure in the log.
async function exclusive(fn) {
  if (busy) return
  busy = true
  draw()
  try {
    await fn()
  } catch (err) {
    runs[policy].shown.push(h('section', { className: 'step failed' }, h('p', { className: 'told' }, `${err}. Is the server still running?`)))
  }
  busy = false
  draw()
  $('log').lastElementChild?.scrollIntoView()
}

function draw() {
  const { done, shown, outcomes } = runs[policy]
  $('about').innerHTML = policies[policy]
  $('log').replaceChildren(...shown)
  $('empty').hidden = shown.length > 0
  $('all').disabled = busy || done === steps.length
  $('again').disabled = busy || done === 0
  for (const input of document.querySelectorAll('#policy input')) input.disabled = busy
  $('steps').replaceChildren(...steps.map(({ id, title }, i) => h('li', { className: i < done ? 'done' : i === done ? 'next' : '' },
    h('button', { id: `step-${id}`, disabled: busy || i > done || i < Math.min(done, 4), onclick: () => exclusive(() => step(i)) },
      h('span', {}, title), h('span', { className: 'dots' }, ...(outcomes[id] ?? []).slice(0, 20).map((outcome) => h('i', { className: outcome })))))))
  document.body.dataset.policy = policy
  document.body.dataset.state = busy ? 'busy' : 'ready'
}

$('all').onclick = () => exclusive(async () => {
  for (let i = runs[policy].done; i < steps.length; i++) await step(i)
})
$('again').onclick = () => exclusive(() => begin(policy))
$('policy').onchange = ({ target }) => {
  policy = target.value
  draw()
}

await Promise.all(Object.keys(policies).map(begin))
draw()
