// Draws exchanges: an arrow to the server, an arrow back, and the headers.

// h makes an element; strings are text.
export function h(name, properties = {}, ...children) {
  const { data = {}, ...rest } = properties
  const element = Object.assign(document.createElement(name), rest)
  Object.assign(element.dataset, data)
  element.append(...children.filter((child) => child !== undefined))
  return element
}

const words = { accepted: 'accepted', challenge: 'challenged', refused: 'refused' }

function shorten(text, head = 14) {
  return text.length <= head + 6 ? text : `${text.slice(0, head)}…${text.slice(-4)}`
}

// chip shows a nonce or a jti in a color of its own: each new one turns the hue
// by the golden angle, so that neighbors differ.
const hues = new Map()

function chip(text) {
  const element = h('b', { className: 'chip', title: text }, text.length > 24 ? `${text.slice(0, 4)}…${text.slice(-6)}` : text)
  if (!hues.has(text)) hues.set(text, (hues.size * 137.5 + 200) % 360)
  element.style.setProperty('--hue', hues.get(text))
  return element
}

function lines(title, entries) {
  return h('section', {}, h('h4', {}, title), h('dl', {}, ...entries.map(([name, value]) =>
    h('div', { className: value === null ? 'absent' : '' }, h('dt', {}, name), h('dd', {}, value ?? 'none')))))
}

// proofLines are the decoded parts of a proof.
function proofLines({ header, claims }) {
  return [
    lines('DPoP proof: header', [
      ['typ', h('span', {}, `${header.typ} `, h('u', {}, 'alg'), ` ${header.alg}`)],
      ['jwk', h('span', { title: JSON.stringify(header.jwk) }, `${header.jwk.kty} ${header.jwk.crv}, x ${shorten(header.jwk.x)}`)],
    ]),
    lines('DPoP proof: claims', [
      ['jti', chip(claims.jti)], ['htm', claims.htm], ['htu', claims.htu],
      ['iat', h('span', { title: new Date(claims.iat * 1000).toISOString() }, String(claims.iat))],
      ...(claims.ath ? [['ath', h('span', { title: claims.ath }, shorten(claims.ath))]] : []),
      ['nonce', claims.nonce ? chip(claims.nonce) : null],
    ]),
  ]
}

export function proofCard(proof) {
  return h('article', { className: 'proof' }, h('div', { className: 'cards' },
    h('div', { className: 'card sent' }, ...proofLines(proof)),
    h('div', { className: 'card' }, h('section', {}, h('h4', {}, 'as it is sent, in the header DPoP'), h('p', { className: 'jwt' },
      ...proof.text.split('.').map((part, i) => h('span', { className: `part${i}` }, (i ? '.' : '') + part)))))))
}

function bodyOf({ text, body }) {
  if (!text) return null
  const shown = body?.access_token ? { ...body, access_token: shorten(body.access_token) } : body
  return h('span', { title: text }, shown ? JSON.stringify(shown, null, 1).replace(/\n\s*/g, ' ') : text)
}

// dataOf is what scripts read of an exchange.
function dataOf({ outcome, status, error, proof: { claims }, answer }) {
  return { outcome, status, error: error ?? '', jti: claims.jti, nonce: claims.nonce ?? '', next: answer['DPoP-Nonce'] ?? '' }
}

export function exchangeCard(exchange) {
  const { to, method, url, proof, status, answer, error, outcome, headers } = exchange
  const [scheme, credentials] = headers.Authorization.split(' ')
  const label = h('span', {}, `${status} ${error ?? 'OK'} `, answer['DPoP-Nonce'] ? chip(answer['DPoP-Nonce']) : '')
  return h('article', { className: `exchange ${outcome}`, data: dataOf(exchange) },
    h('div', { className: `arrow out ${to}` }, h('span', {}, `${method} ${new URL(url).pathname} `,
      proof.claims.nonce ? chip(proof.claims.nonce) : h('i', {}, 'no nonce'))),
    h('div', { className: `arrow back ${to}` }, label),
    h('div', { className: 'cards' },
      h('div', { className: 'card sent' }, ...proofLines(proof),
        lines('with it', [['Authorization', h('span', { title: headers.Authorization }, `${scheme} ${shorten(credentials)}`)]])),
      h('div', { className: 'card received' },
        lines('answer', [['status', h('strong', {}, String(status), ' ', h('em', {}, words[outcome]))],
          ['DPoP-Nonce', answer['DPoP-Nonce'] && chip(answer['DPoP-Nonce'])],
          ['WWW-Authenticate', answer['WWW-Authenticate']],
          ['Cache-Control', answer['Cache-Control']]]),
        lines('body', [['', bodyOf(exchange)]]))))
}

// parallelCard shows the attempts of requests that were sent at once.
export function parallelCard(exchanges) {
  const columns = Object.groupBy(exchanges, ({ request }) => request)
  const answered = exchanges.filter(({ outcome }) => outcome === 'accepted').length
  return h('article', { className: 'parallel', data: { sent: exchanges.length, accepted: answered } },
    h('div', { className: 'arrow out rs many' }, h('span', {}, '10 × GET /resource ', chip(exchanges[0].proof.claims.nonce))),
    h('div', { className: 'attempts' }, ...Object.values(columns).map((attempts, i) => h('div', {}, h('small', {}, String(i + 1)),
      ...attempts.map(({ outcome, status }) => h('span', { className: outcome, title: words[outcome] }, String(status)))))),
    h('p', { className: 'count' }, h('strong', {}, String(exchanges.length)), ' requests for ', h('strong', {}, String(answered)), ' answers'),
    h('details', {}, h('summary', {}, 'Each of them'), h('table', {},
      h('thead', {}, h('tr', {}, ...['request', 'attempt', 'jti', 'nonce sent', 'status', 'error', 'DPoP-Nonce', 'Cache-Control'].map((name) => h('th', {}, name)))),
      h('tbody', {}, ...Object.values(columns).flat().map((exchange) => {
        const { request, attempt, proof, status, error, outcome, answer } = exchange
        return h('tr', { className: outcome, data: dataOf(exchange) },
          ...[String(request + 1), String(attempt), chip(proof.claims.jti), chip(proof.claims.nonce), String(status), error ?? '',
            answer['DPoP-Nonce'] ? chip(answer['DPoP-Nonce']) : '', answer['Cache-Control'] ?? ''].map((cell) => h('td', {}, cell)))
      })))))
}
