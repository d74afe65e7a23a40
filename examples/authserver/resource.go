package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
)

type resourceServer struct {
	tokens tokens
	proofs verifier
	log    *slog.Logger
}

type subjectKey struct{}

// authenticate passes requests on whose access token is valid and bound to the
// key of their proof.
func (rs resourceServer) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := bearerOf(r)
		if !ok {
			next.ServeHTTP(w, r) // the Guard asks for a proof
			return
		}
		claims, err := rs.tokens.verify(token)
		if err != nil {
			rs.refuse(w, r, "invalid_token", "the access token is not valid", err)
			return
		}
		p, err := rs.proofs.verify(r, token)
		switch {
		case errors.Is(err, errProof):
			rs.refuse(w, r, "invalid_dpop_proof", "the DPoP proof is not valid", err)
		case err != nil:
			rs.log.ErrorContext(r.Context(), "proof store", "path", r.URL.Path, "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
		case p.thumbprint != claims.Confirmation.Thumbprint:
			rs.refuse(w, r, "invalid_token", "the access token is bound to another key", errors.New("cnf.jkt does not match the proof's key"))
		default:
			r = r.WithContext(context.WithValue(r.Context(), subjectKey{}, claims.Subject))
			next.ServeHTTP(w, withProof(r, p))
		}
	})
}

// bearerOf returns the access token of a request.
func bearerOf(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, strings.EqualFold(scheme, "DPoP") && token != ""
}

// refuse answers an invalid token or proof.
func (rs resourceServer) refuse(w http.ResponseWriter, r *http.Request, code, description string, reason error) {
	rs.log.InfoContext(r.Context(), "request refused", "path", r.URL.Path, "code", code, "error", reason)
	w.Header().Set("WWW-Authenticate", `DPoP error="`+code+`", error_description="`+description+
		`", algs="`+strings.Join(proofAlgNames, " ")+`"`)
	w.WriteHeader(http.StatusUnauthorized)
}

func (rs resourceServer) resource(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"hello": r.Context().Value(subjectKey{})})
}
