package dpophttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/attesto/dpopnonce/dpophttp"
)

// guarded puts handler behind a Guard on s.
func guarded(s *store, handler http.HandlerFunc) http.Handler {
	guard := &dpophttp.Guard{Nonces: s, Proof: proof}
	return guard.ResourceServer(handler)
}

// serve runs handler behind a Guard on a real server and returns the response to
// an accepted request.
func serve(t *testing.T, outer func(http.Handler) http.Handler, handler http.HandlerFunc) *http.Response {
	t.Helper()
	s := newStore(t)
	all := guarded(s, handler)
	if outer != nil {
		all = outer(all)
	}
	server := httptest.NewServer(all)
	t.Cleanup(server.Close)
	nonce, err := s.Repository.Issue(request("").Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("GET", server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Claim", nonce)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func wantHeaders(t *testing.T, response *http.Response, exposed string) {
	t.Helper()
	h := response.Header
	if len(h.Values("DPoP-Nonce")) != 1 || len(h.Values("Cache-Control")) != 1 || h.Get("Cache-Control") != "no-store" ||
		strings.Join(h.Values("Access-Control-Expose-Headers"), ", ") != exposed {
		t.Fatal(h)
	}
}

func TestHeadersSurviveLaterHandler(t *testing.T) {
	overwrite := func(w http.ResponseWriter) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("Access-Control-Expose-Headers", "X-Total")
		w.Header().Set("DPoP-Nonce", "set-by-handler")
		w.Header()["cache-control"] = []string{"public"}
	}
	for name, write := range map[string]func(http.ResponseWriter){
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated) },
		"Write":       func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"nothing":     func(http.ResponseWriter) {},
		"Copy":        func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("x")) },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"controller":  func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"Error":       func(w http.ResponseWriter) { http.Error(w, "no", http.StatusForbidden) },
		"copy that fails before the first byte": func(w http.ResponseWriter) {
			_, _ = io.Copy(w, iotest.ErrReader(io.ErrUnexpectedEOF))
			overwrite(w)
			http.Error(w, "upstream", http.StatusBadGateway)
		},
		"early hints": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusEarlyHints)
			overwrite(w)
			w.WriteHeader(http.StatusOK)
		},
	} {
		write := write
		t.Run(name, func(t *testing.T) {
			response := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
				overwrite(w)
				write(w)
			})
			wantHeaders(t, response, "X-Total, DPoP-Nonce, WWW-Authenticate")
			if response.Header.Get("DPoP-Nonce") == "set-by-handler" {
				t.Fatal("not the next nonce")
			}
		})
	}
}

// The race detector finds a write to the map.
func TestLaterWritesLeaveHeadersAlone(t *testing.T) {
	serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		header, read := w.Header(), make(chan bool)
		go func() {
			defer close(read)
			for i := 0; i < 100; i++ {
				for range header {
				}
			}
		}()
		for i := 0; i < 100; i++ {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
		<-read
	})
}

func TestHeadersSurviveBufferingWriter(t *testing.T) {
	buffering := func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "") }
	for name, write := range map[string]func(http.ResponseWriter){
		"Write": func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"Flush": func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
	} {
		write := write
		t.Run(name, func(t *testing.T) {
			response := serve(t, buffering, func(w http.ResponseWriter, _ *http.Request) {
				write(w)
				w.Header().Set("Cache-Control", "public")
				w.Header().Set("DPoP-Nonce", "set-by-handler")
				w.Header().Del("Access-Control-Expose-Headers")
			})
			wantHeaders(t, response, "DPoP-Nonce, WWW-Authenticate")
			if response.Header.Get("DPoP-Nonce") == "set-by-handler" {
				t.Fatal("not the next nonce")
			}
		})
	}
}

// The documented limit: http.TimeoutHandler answers with nothing of inner layers.
func TestTimeoutHandlerOutsideDropsNonce(t *testing.T) {
	outer := func(next http.Handler) http.Handler {
		return http.TimeoutHandler(next, 50*time.Millisecond, "too late")
	}
	response := serve(t, outer, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("DPoP-Nonce") != "" {
		t.Fatal(response.Status, response.Header)
	}
}

func TestRecoveredPanicCarriesNonce(t *testing.T) {
	recovering := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if recover() != nil {
					w.WriteHeader(http.StatusInternalServerError)
				}
			}()
			next.ServeHTTP(w, r)
		})
	}
	response := serve(t, recovering, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public")
		panic("bug of the handler")
	})
	if response.StatusCode != http.StatusInternalServerError {
		t.Fatal(response.Status)
	}
	wantHeaders(t, response, "DPoP-Nonce, WWW-Authenticate")
}

func TestUnwrappedWriterSendsHeaders(t *testing.T) {
	var original http.ResponseWriter
	keep := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			original = w
			next.ServeHTTP(w, r)
		})
	}
	response := serve(t, keep, func(w http.ResponseWriter, _ *http.Request) {
		inner := w.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
		if inner != original {
			t.Error("not the writer that the Guard was given")
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		_, _ = inner.Write([]byte("x"))
	})
	wantHeaders(t, response, "DPoP-Nonce, WWW-Authenticate")
}

func TestFlushSendsHeadersAtOnce(t *testing.T) {
	received := make(chan struct{})
	response := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-received:
		case <-r.Context().Done():
		}
	})
	wantHeaders(t, response, "DPoP-Nonce, WWW-Authenticate")
	close(received)
}

func TestControllerHijacksConnection(t *testing.T) {
	response := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"))
		_ = conn.Close()
	})
	if response.StatusCode != http.StatusNoContent {
		t.Fatal(response.Status)
	}
}
