package recipes

import (
	"net/http"
	"testing"
)

// setOwnHeaders sets what a handler should leave to the Guard, and what one that
// passes on an upstream's response sets.
func setOwnHeaders(h http.Header) {
	h.Set("Cache-Control", "public")
	h.Add("DPoP-Nonce", "the handler's")
	h.Add("DPoP-Nonce", "another one")
}

// checkOwnHeaders calls a handler that sets its own headers: a nonce that it
// sends is the Guard's.
func (s *site) checkOwnHeaders(t *testing.T, d door) {
	t.Helper()
	first := d.call(t, s.prove(t, d, s.key, ""))
	second := d.call(t, s.prove(t, d, s.key, first.nonce))
	third := d.call(t, s.prove(t, d, s.key, second.nonce))
	if second.nonce == "" || second.status == 401 || third.nonce == "" || third.status == 401 {
		t.Errorf("%+v %+v", second, third)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
