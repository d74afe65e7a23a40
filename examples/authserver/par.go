package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gorm.io/gorm/clause"
)

const (
	requestURI = "urn:ietf:params:oauth:request_uri:" // RFC 9126 section 2.2
	grantTTL   = time.Minute
)

// A grant is what a request_uri or a code stands for. It is taken once, by any
// node. Its id is a hash: who reads the table learns no code.
type grant struct {
	ID          string `gorm:"primaryKey;type:varchar(64)"`
	RedirectURI string
	Challenge   string // of PKCE, by S256
	State       string
	Thumbprint  string    // of the key that the code is bound to (RFC 9449 section 10)
	ExpiresAt   time.Time `gorm:"index"`
}

var errNoGrant = errors.New("no such grant")

// put stores g and returns its name.
func (s *store) put(ctx context.Context, kind string, g grant) (name string, err error) {
	name = rand.Text()
	g.ID, g.ExpiresAt = hashOf(kind+name), time.Now().UTC().Add(grantTTL)
	return name, s.db.WithContext(ctx).Create(&g).Error
}

// take returns the grant of a name, once.
func (s *store) take(ctx context.Context, kind, name string) (g grant, err error) {
	done := s.db.WithContext(ctx).Clauses(clause.Returning{}).
		Where("id = ? AND expires_at > ?", hashOf(kind+name), time.Now().UTC()).Delete(&g)
	if done.Error == nil && done.RowsAffected != 1 {
		return g, errNoGrant
	}
	return g, done.Error
}

func (as authorizationServer) checkPushed(r *http.Request) error {
	form := r.PostForm
	switch {
	case form.Has("request_uri"):
		return oauthError{"invalid_request", "request_uri cannot be pushed"}
	case form.Get("response_type") != "code":
		return oauthError{"unsupported_response_type", "response_type must be code"}
	case form.Get("redirect_uri") != as.config.redirectURI:
		return oauthError{"invalid_request", "redirect_uri is not registered"}
	case len(form.Get("code_challenge")) != len(hashOf("")) || form.Get("code_challenge_method") != "S256":
		return oauthError{"invalid_request", "PKCE with S256 is required"}
	}
	return nil
}

// push takes a pushed authorization request (RFC 9126). Its code will be bound to
// the key of the proof, or to the one that dpop_jkt names (RFC 9449 section 10.1).
func (as authorizationServer) push(w http.ResponseWriter, r *http.Request) {
	form := r.PostForm
	thumbprint := form.Get("dpop_jkt")
	if p := proofOf(r); p != nil {
		if thumbprint != "" && thumbprint != p.thumbprint {
			writeError(w, http.StatusBadRequest, "invalid_request", "dpop_jkt is not the key of the proof")
			return
		}
		thumbprint = p.thumbprint
	}
	name, err := as.store.put(r.Context(), requestURI, grant{
		RedirectURI: form.Get("redirect_uri"), Challenge: form.Get("code_challenge"), State: form.Get("state"), Thumbprint: thumbprint,
	})
	if err != nil {
		as.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, map[string]any{"request_uri": requestURI + name, "expires_in": int(grantTTL.Seconds())})
}

// authorize approves a pushed request at once, where a real server asks the user,
// and redirects to the client with a code.
func (as authorizationServer) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("client_id") != as.config.clientID {
		writeError(w, http.StatusBadRequest, "invalid_request", "client_id is not registered")
		return
	}
	g, err := as.store.take(r.Context(), requestURI, strings.TrimPrefix(query.Get("request_uri"), requestURI))
	var code string
	if err == nil {
		code, err = as.store.put(r.Context(), "code:", g)
	}
	switch {
	case errors.Is(err, errNoGrant):
		writeError(w, http.StatusBadRequest, "invalid_request", "the request was not pushed, or has expired")
		return
	case err != nil:
		as.fail(w, r, err)
		return
	}
	answer := url.Values{"code": {code}, "iss": {as.config.issuer}} // RFC 9207
	if g.State != "" {
		answer.Set("state", g.State)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, g.RedirectURI+"?"+answer.Encode(), http.StatusSeeOther)
}

// redeem takes the code of a token request, for the key of its proof.
func (as authorizationServer) redeem(r *http.Request, thumbprint string) error {
	g, err := as.store.take(r.Context(), "code:", r.PostForm.Get("code"))
	if err != nil && !errors.Is(err, errNoGrant) {
		return err
	}
	verifier := r.PostForm.Get("code_verifier")
	if err != nil || r.PostForm.Get("redirect_uri") != g.RedirectURI ||
		len(verifier) < 43 || hashOf(verifier) != g.Challenge || // 43: RFC 7636 section 4.1
		g.Thumbprint != "" && g.Thumbprint != thumbprint {
		return oauthError{"invalid_grant", "the code is not valid for this client, its verifier, redirect_uri and key"}
	}
	return nil
}
