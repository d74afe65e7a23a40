package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	flooders = 8   // connections
	signed   = 200 // proofs of a flood, made before it begins: the flood costs the server, not the flooder
)

// A flood is requests that the server has to refuse, over and over.
type flood struct {
	name   string
	proofs func(url string) ([]string, error) // "" is a request without a proof
}

var floods = []flood{
	{"none", func(string) ([]string, error) { return nil, nil }},
	{"no proof", func(string) ([]string, error) { return make([]string, signed), nil }},
	{"no nonce", with(func() string { return "" })},
	{"garbage nonce", with(func() string { return garbage("", 32) })},
	{"garbage nonce, sealed form", with(func() string { return garbage("s", 45) })},
}

// garbage is base64url of n random bytes, its beginning replaced.
func garbage(beginning string, n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return beginning + base64.RawURLEncoding.EncodeToString(b)[len(beginning):]
}

// with makes valid proofs with such nonces.
func with(nonce func() string) func(url string) ([]string, error) {
	return func(url string) ([]string, error) {
		signer, err := newSigner()
		if err != nil {
			return nil, err
		}
		all := make([]string, signed)
		for i := range all {
			if all[i], err = newProof(signer, url, nonce()); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
}

// A cost is what one refusal costs the database.
type cost struct{ rows, statements float64 }

// cost sends each proof of a flood, and nothing else.
func (s *server) cost(ctx context.Context, proofs []string) (c cost, err error) {
	if len(proofs) == 0 {
		return c, nil
	}
	// The first challenge of a Window on stored nonces issues the one for all.
	if err := s.refused(ctx, http.DefaultClient, proofs[0]); err != nil {
		return c, err
	}
	rows, err := s.db.rows(ctx)
	if err != nil {
		return c, err
	}
	statements := s.db.statements.Load()
	for _, proof := range proofs {
		if err := s.refused(ctx, http.DefaultClient, proof); err != nil {
			return c, err
		}
	}
	statements = s.db.statements.Load() - statements
	after, err := s.db.rows(ctx)
	n := float64(len(proofs))
	return cost{float64(after-rows) / n, float64(statements) / n}, err
}

// A load is a flood beside an honest client.
type load struct {
	elapsed                time.Duration
	refused                int // requests of the flood
	sent, served, failures int // requests of the honest client
}

// load lets flooders send proofs while an honest client sends its requests. There
// are none without proofs.
func (s *server) load(ctx context.Context, proofs []string, length time.Duration) (l load, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var refused atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, flooders)
	for i := range min(flooders, flooders*len(proofs)) {
		client := &http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		wait.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				if err := s.refused(ctx, client, proofs[n%len(proofs)]); err != nil {
					if ctx.Err() == nil {
						errs[i] = err
					}
					return
				}
				refused.Add(1)
			}
		})
	}
	h := honest{server: s}
	began := time.Now()
	for err == nil && time.Since(began) < length {
		err = h.request(ctx)
	}
	l = load{time.Since(began), int(refused.Load()), h.sent, h.served, h.failures}
	stop()
	wait.Wait()
	return l, errors.Join(append(errs, err)...)
}

// refused sends a proof and fails unless the answer is a refusal.
func (s *server) refused(ctx context.Context, client *http.Client, proof string) error {
	status, nonce, err := s.send(ctx, client, proof)
	if err == nil && (status != http.StatusBadRequest || (nonce != "") != (proof != "")) {
		err = fmt.Errorf("a flood was answered %d, with nonce %q", status, nonce)
	}
	return err
}

func (s *server) send(ctx context.Context, client *http.Client, proof string) (status int, nonce string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, nil)
	if err != nil {
		return 0, "", err
	}
	if proof != "" {
		r.Header.Set("DPoP", proof)
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header.Get("DPoP-Nonce"), err
}

// An honest client sends one request after the other, keeps the last nonce, and
// retries once.
type honest struct {
	*server
	signer                 jose.Signer
	nonce                  string
	sent, served, failures int
}

func (h *honest) request(ctx context.Context) (err error) {
	if h.signer == nil {
		if h.signer, err = newSigner(); err != nil {
			return err
		}
	}
	for range 2 {
		proof, err := newProof(h.signer, h.url, h.nonce)
		if err != nil {
			return err
		}
		h.sent++
		status, nonce, err := h.send(ctx, http.DefaultClient, proof)
		if err != nil {
			return err
		}
		if nonce != "" {
			h.nonce = nonce
		}
		if status == http.StatusNoContent {
			h.served++
			return nil
		}
	}
	h.failures++
	return nil
}
