package recipes

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/dpophttp"
)

// held are Proofs that wait for the end of a request before they ask the store.
type held struct {
	dpophttp.Proofs
	asked chan struct{}
}

func (h held) Spend(ctx context.Context, id string, until time.Time) error {
	h.asked <- struct{}{}
	<-ctx.Done()
	return h.Proofs.Spend(ctx, id, until)
}

func TestGoneClientsProofReachesNoHandler(t *testing.T) {
	s := newSite(t, Window)
	d := httpDoor(s)
	handled, ended := false, make(chan struct{})
	reported := make(chan error, 1)
	asked := make(chan struct{})
	s.serve(t, func() http.Handler {
		guarded := s.app.Authenticate(s.guard.ResourceServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { handled = true })))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			guarded.ServeHTTP(w, r)
			if r.Header.Get("Gone") != "" {
				close(ended)
			}
		})
	})
	nonce := d.call(t, s.prove(t, d, s.key, "")).nonce
	s.guard.Proofs = held{s.guard.Proofs, asked}
	s.guard.Timeout = time.Minute
	s.guard.OnError = func(_ *http.Request, err error) { reported <- err }

	conn, err := net.Dial("tcp", strings.TrimPrefix(s.app.Origin, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.app.Origin+d.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	sign(r.Header, []string{s.prove(t, d, s.key, nonce)})
	r.Header.Set("Gone", "1")
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	case <-ended:
		t.Fatal("the proof is not spent")
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := <-reported; !errors.Is(err, context.Canceled) || handled {
		t.Errorf("OnError: %v; the handler ran: %v", err, handled)
	}
	if n := s.rows(t, "dpop_proofs"); n != 0 {
		t.Error(n, "rows")
	}
}
