package recipes

import (
	"net/http"
	"testing"
)

func TestNonceOfEndpointNeedsNoChallenge(t *testing.T) {
	s := newSite(t, Window)
	s.serve(t, func() http.Handler {
		mux := http.NewServeMux()
		mux.Handle("GET /nonce", NonceEndpoint(s.guard))
		mux.Handle("/", s.app.Authenticate(s.guard.ResourceServer(account)))
		return mux
	})
	for _, method := range []string{"GET", "HEAD"} {
		offered, header := send(t, method, s.app.Origin+"/nonce", "")
		if offered.status != 204 || offered.nonce == "" || header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%+v %v", offered, header)
		}
		d := httpDoor(s)
		if got := d.call(t, s.prove(t, d, s.key, offered.nonce)); got.status != 200 {
			t.Fatalf("%+v", got)
		}
	}
	if n := s.rows(t, "dpop_proofs"); n != 2 {
		t.Fatal(n, "rows")
	}
}
