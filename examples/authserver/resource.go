package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
)

type resourceServer struct {
	config config
	tokens tokens
	log    *slog.Logger
}

type subjectKey struct{}

// bothSchemes names Bearer in a 401 of the Guard, behind DPoP. A handler that
// asserts http.Flusher needs the writer below: the Guard passes a request with a
// bearer token with this one.
type bothSchemes struct{ http.ResponseWriter }

func (w bothSchemes) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		w.Header().Add("WWW-Authenticate", "Bearer")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w bothSchemes) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// authenticate passes requests on whose access token is valid and bound to the
// key of their proof, and with -bearer those with a token that is bound to none.
func (rs resourceServer) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		dpop, bearer := strings.EqualFold(scheme, "DPoP"), rs.config.bearer && strings.EqualFold(scheme, "Bearer")
		if token == "" || !dpop && !bearer {
			rs.refuse(w, r, "", "an access token is required", errors.New("no token"))
			return
		}
		claims, err := rs.tokens.verify(token)
		if err != nil {
			rs.refuse(w, r, "invalid_token", "the access token is not valid", err)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), subjectKey{}, claims.Subject))
		key := claims.thumbprint()
		guarded := w
		if rs.config.bearer {
			guarded = bothSchemes{w}
		}
		if bearer && key == "" {
			next.ServeHTTP(guarded, r) // a DPoP header beside it is the Guard's to refuse
			return
		}
		if bearer { // else a thief of the token leaves the proof out (RFC 9449 section 7.2)
			rs.refuse(w, r, "invalid_token", "the access token is bound to a key", errors.New("a bound token without a proof"))
			return
		}
		p, err := verifyProof(r, rs.config.issuer, token)
		switch {
		case err != nil:
			rs.refuse(w, r, "invalid_dpop_proof", "the DPoP proof is not valid", err)
		case p.thumbprint != key:
			rs.refuse(w, r, "invalid_token", "the access token is not bound to the key of the proof", errors.New("cnf.jkt does not match"))
		default:
			next.ServeHTTP(guarded, withProof(r, p))
		}
	})
}

// refuse answers an invalid token or proof. Where there is none, the challenge
// has no error code (RFC 6750 section 3.1). DPoP comes first: the AT Protocol
// client reads no challenge behind another.
func (rs resourceServer) refuse(w http.ResponseWriter, r *http.Request, code, description string, reason error) {
	rs.log.InfoContext(r.Context(), "request refused", "path", r.URL.Path, "code", code, "error", reason)
	var params []string
	if code != "" {
		params = []string{`error="` + code + `"`, `error_description="` + description + `"`}
	}
	algs := `algs="` + strings.Join(proofAlgNames, " ") + `"`
	w.Header().Add("WWW-Authenticate", "DPoP "+strings.Join(append(params, algs), ", "))
	if rs.config.bearer {
		if code == "invalid_dpop_proof" { // no error of Bearer's
			params = nil
		}
		w.Header().Add("WWW-Authenticate", strings.TrimSpace("Bearer "+strings.Join(params, ", ")))
	}
	if code == "" {
		code = "invalid_token" // the body always has one
	}
	writeError(w, http.StatusUnauthorized, code, description)
}

func (rs resourceServer) resource(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"hello": r.Context().Value(subjectKey{})})
}
