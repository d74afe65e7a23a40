package recipes

import (
	"net/http"
	"strings"

	"github.com/attesto/dpopnonce/dpophttp"
)

// BearerBesideDPoP takes both kinds of access tokens at one resource. The Guard
// passes what has no sign of DPoP, so that this refuses every request without a
// token, and a token that is bound to a key and comes as a bearer token (RFC 9449
// section 7.2): else a thief would leave the proof out. The Guard is this
// resource's alone: others rely on theirs to refuse a request without a proof.
func BearerBesideDPoP(app *Application, guard *dpophttp.Guard, next http.Handler) http.Handler {
	guard.Optional = true
	guarded := guard.ResourceServer(next)
	withProof := app.Authenticate(guarded)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "DPoP") {
			withProof.ServeHTTP(w, r)
			return
		}
		token, ok := app.Tokens(text)
		switch {
		case strings.EqualFold(scheme, "Bearer") && ok && token.Thumbprint == "":
			caller := Caller{Subject: token.Subject} // a DPoP header beside it is the Guard's to refuse
			guarded.ServeHTTP(w, r.WithContext(withCaller(r.Context(), caller)))
		case scheme == "": // no error code, as RFC 6750 section 3.1 has it
			w.Header()["Www-Authenticate"] = []string{"Bearer", `DPoP algs="` + guard.Algs + `"`}
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header()["Www-Authenticate"] = []string{`Bearer error="invalid_token"`, `DPoP algs="` + guard.Algs + `"`}
			writeError(w, http.StatusUnauthorized, "invalid_token")
		}
	})
}
