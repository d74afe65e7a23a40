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
	guarded := guard.ResourceServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if both, ok := w.(bothSchemes); ok { // of a bearer token: a handler asserts http.Flusher
			w = both.ResponseWriter
		}
		next.ServeHTTP(w, r)
	}))
	withProof := app.Authenticate(guarded)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "DPoP") {
			withProof.ServeHTTP(bothSchemes{w}, r)
			return
		}
		token, ok := app.Tokens(text)
		bearer := "Bearer"
		switch {
		case strings.EqualFold(scheme, "Bearer") && ok && token.Thumbprint == "":
			caller := Caller{Subject: token.Subject} // a DPoP header beside it is the Guard's to refuse
			guarded.ServeHTTP(bothSchemes{w}, r.WithContext(withCaller(r.Context(), caller)))
			return
		case scheme != "": // without a token no error code, as RFC 6750 section 3.1 has it
			bearer = `Bearer error="invalid_token"`
		}
		w.Header()["Www-Authenticate"] = []string{`DPoP algs="` + guard.Algs + `"`, bearer}
		writeError(w, http.StatusUnauthorized, "invalid_token")
	})
}

// bothSchemes names Bearer in a 401 of the Guard, behind DPoP.
type bothSchemes struct{ http.ResponseWriter }

func (w bothSchemes) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		w.Header().Add("WWW-Authenticate", "Bearer")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w bothSchemes) Unwrap() http.ResponseWriter { return w.ResponseWriter }
