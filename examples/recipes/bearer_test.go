package recipes

import (
	"net/http"
	"strings"
	"testing"
)

func TestBearerTokenPassesUnlessBoundToKey(t *testing.T) {
	s := newSite(t, Window)
	d := doors["bearer"](t, s)
	for _, test := range []struct {
		name, authorization string
		proofs              []string
		status              int
		challenges          string
	}{
		{"unbound", "Bearer " + bearerToken, nil, 200, ""},
		{"bound", "Bearer " + token, nil, 401, `Bearer error="invalid_token", DPoP algs="ES256 EdDSA"`},
		{"bound, with a proof", "Bearer " + token, []string{s.prove(t, d, s.key, "")}, 401, `Bearer error="invalid_token", DPoP algs="ES256 EdDSA"`},
		{"unbound, with an empty proof", "Bearer " + bearerToken, []string{""}, 401, `DPoP algs="ES256 EdDSA"`},
		{"unknown", "Bearer guess", nil, 401, `Bearer error="invalid_token", DPoP algs="ES256 EdDSA"`},
		{"none", "", nil, 401, `Bearer, DPoP algs="ES256 EdDSA"`},
		{"another scheme", "Basic " + bearerToken, nil, 401, `Bearer error="invalid_token", DPoP algs="ES256 EdDSA"`},
		{"unbound, as DPoP", "DPoP " + bearerToken, nil, 401, `DPoP algs="ES256 EdDSA"`},
	} {
		got, header := send(t, http.MethodGet, s.app.Origin+d.path, test.authorization, test.proofs...)
		challenges := strings.Join(header.Values("WWW-Authenticate"), ", ")
		if got.status != test.status || challenges != test.challenges || got.nonce != "" {
			t.Errorf("%s: %+v %s", test.name, got, challenges)
		}
		if test.status == 200 && !strings.HasSuffix(got.text, "bob") {
			t.Errorf("%s: %s", test.name, got.text)
		}
	}
}
