package dpophttp

import (
	"net/http"
	"strings"
)

// SetNonce sets what a response with a nonce has: one DPoP-Nonce (RFC 9449
// section 8), Cache-Control: no-store (section 8.2), and DPoP-Nonce among the
// Access-Control-Expose-Headers, beside those that others have set. It is for
// responses that a handler of a Guard does not write: after [Guard.Accept] and
// [Guard.Nonce]. Without a nonce it does nothing. Clients in browsers also need
// a resource server's WWW-Authenticate exposed.
func SetNonce(h http.Header, nonce string) {
	if nonce == "" {
		return
	}
	setOnly(h, "Dpop-Nonce", nonce)
	setOnly(h, "Cache-Control", "no-store")
	expose(h, "DPoP-Nonce")
}

// setOnly gives h one header of that name, in whatever spelling others have set
// it. It changes nothing where that is so already: a handler may read h while it
// writes the body.
func setOnly(h http.Header, name, value string) {
	right := false
	for key, lines := range h {
		switch {
		case !strings.EqualFold(key, name):
		case key == name && len(lines) == 1 && lines[0] == value:
			right = true
		default:
			delete(h, key)
		}
	}
	if !right {
		h[name] = []string{value}
	}
}

// hasNonce reports whether h has a DPoP-Nonce, in any spelling.
func hasNonce(h http.Header) bool {
	for key := range h {
		if strings.EqualFold(key, "DPoP-Nonce") {
			return true
		}
	}
	return false
}

// headers are the headers that a Guard sets on a response.
type headers struct {
	nonce   string   // "" for none
	held    bool     // the client has it: set only in place of others, such as an upstream's
	exposed []string // names for Access-Control-Expose-Headers
}

func (h headers) set(header http.Header) {
	if !h.held || hasNonce(header) {
		SetNonce(header, h.nonce)
	}
	for _, name := range h.exposed {
		expose(header, name)
	}
}

// expose adds name to Access-Control-Expose-Headers.
func expose(header http.Header, name string) {
	const list = "Access-Control-Expose-Headers"
	all := strings.Join(header.Values(list), ", ")
	for _, exposed := range strings.Split(all, ",") {
		if strings.EqualFold(strings.TrimSpace(exposed), name) {
			return
		}
	}
	if strings.TrimSpace(all) != "" {
		name = all + ", " + name
	}
	header.Set(list, name)
}

// signed reports whether a request has any sign of DPoP: a DPoP header, valid or
// not, or an access token of that scheme.
func signed(h http.Header) bool {
	for name, lines := range h {
		if strings.EqualFold(name, "DPoP") {
			return true
		}
		if !strings.EqualFold(name, "Authorization") {
			continue
		}
		for _, line := range lines {
			if words := strings.Fields(line); len(words) > 0 && strings.EqualFold(words[0], "DPoP") {
				return true
			}
		}
	}
	return false
}
