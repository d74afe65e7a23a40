package dpophttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"
)

// plain is a ResponseWriter without any optional method.
type plain struct{ http.ResponseWriter }

// able has the optional methods of a server's writer, and records their calls.
type able struct {
	http.ResponseWriter
	called []string
	gone   chan bool
}

func (a *able) Flush() { a.called = append(a.called, "Flush") }
func (a *able) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.called = append(a.called, "Hijack")
	return nil, nil, nil
}
func (a *able) Push(target string, _ *http.PushOptions) error {
	a.called = append(a.called, "Push "+target)
	return nil
}
func (a *able) CloseNotify() <-chan bool {
	a.called = append(a.called, "CloseNotify")
	return a.gone
}
func (a *able) ReadFrom(r io.Reader) (int64, error) {
	a.called = append(a.called, "ReadFrom")
	return io.Copy(a.ResponseWriter, r)
}
func (a *able) WriteString(s string) (int, error) {
	a.called = append(a.called, "WriteString")
	return io.WriteString(a.ResponseWriter, s)
}
func (a *able) SetReadDeadline(time.Time) error {
	a.called = append(a.called, "SetReadDeadline")
	return nil
}
func (a *able) SetWriteDeadline(time.Time) error {
	a.called = append(a.called, "SetWriteDeadline")
	return nil
}
func (a *able) EnableFullDuplex() error {
	a.called = append(a.called, "EnableFullDuplex")
	return nil
}

// wrapping is a writer of an outer layer that has Unwrap only.
type wrapping struct{ http.ResponseWriter }

func (w wrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// closeNotifier is http.CloseNotifier, which is deprecated.
type closeNotifier interface{ CloseNotify() <-chan bool }

// abilities are calls that handlers make by assertion or through a controller,
// and what the writer below is then asked for.
var abilities = map[string]func(http.ResponseWriter) error{
	"Hijack": func(w http.ResponseWriter) error {
		_, _, err := w.(http.Hijacker).Hijack()
		return err
	},
	"Push /style.css":  func(w http.ResponseWriter) error { return w.(http.Pusher).Push("/style.css", nil) },
	"Flush":            func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
	"SetReadDeadline":  func(w http.ResponseWriter) error { return http.NewResponseController(w).SetReadDeadline(noon) },
	"SetWriteDeadline": func(w http.ResponseWriter) error { return http.NewResponseController(w).SetWriteDeadline(noon) },
	"EnableFullDuplex": func(w http.ResponseWriter) error { return http.NewResponseController(w).EnableFullDuplex() },
}

// accepted calls handler behind a Guard, with w as the writer below.
func accepted(t *testing.T, ctx context.Context, w http.ResponseWriter, handler http.HandlerFunc) {
	t.Helper()
	s := newStore(t)
	nonce, err := s.Repository.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	called := false
	guarded(s, func(w http.ResponseWriter, r *http.Request) {
		called = true
		handler(w, r)
	}).ServeHTTP(w, request(nonce).WithContext(ctx))
	if !called {
		t.Fatal("not accepted")
	}
}

func TestAbilitiesOfWriterBelowAreKept(t *testing.T) {
	for want, call := range abilities {
		for name, outer := range map[string]func(http.ResponseWriter) http.ResponseWriter{
			"direct":  func(w http.ResponseWriter) http.ResponseWriter { return w },
			"wrapped": func(w http.ResponseWriter) http.ResponseWriter { return wrapping{w} },
		} {
			writer := &able{ResponseWriter: httptest.NewRecorder()}
			accepted(t, context.Background(), outer(writer), func(w http.ResponseWriter, _ *http.Request) {
				if err := call(w); err != nil {
					t.Error(want, name, err)
				}
			})
			if len(writer.called) != 1 || writer.called[0] != want {
				t.Errorf("%s, %s: called %q", want, name, writer.called)
			}
		}
	}
}

func TestMissingAbilityIsNotSupported(t *testing.T) {
	for name, call := range abilities {
		accepted(t, context.Background(), plain{httptest.NewRecorder()}, func(w http.ResponseWriter, _ *http.Request) {
			if err := call(w); !errors.Is(err, http.ErrNotSupported) {
				t.Error(name, err)
			}
		})
	}
}

func TestCopyAndStringReachWriterBelow(t *testing.T) {
	recorder := httptest.NewRecorder()
	writer := &able{ResponseWriter: recorder}
	accepted(t, context.Background(), writer, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(strings.NewReader("file"), 4))
		_, _ = io.WriteString(w, "string")
		w.(http.Flusher).Flush()
	})
	if got := strings.Join(writer.called, " "); got != "ReadFrom WriteString Flush" || recorder.Body.String() != "filestring" {
		t.Fatal(got, recorder.Body)
	}
}

func TestCloseNotifyReportsClientGone(t *testing.T) {
	gone := make(chan bool, 1)
	gone <- true
	for name, w := range map[string]http.ResponseWriter{
		"of the writer below": &able{ResponseWriter: httptest.NewRecorder(), gone: gone},
		"of the request":      plain{httptest.NewRecorder()},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		accepted(t, ctx, w, func(w http.ResponseWriter, _ *http.Request) {
			notified := w.(closeNotifier).CloseNotify()
			if name == "of the request" {
				select {
				case <-notified:
					t.Error(name, "notified before the client went away")
				default:
				}
				cancel()
			}
			if !<-notified {
				t.Error(name)
			}
		})
	}
}

func TestAssertedHijackerTakesConnection(t *testing.T) {
	response := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\nDPoP-Nonce: %s\r\n\r\n", w.Header().Get("DPoP-Nonce"))
		_ = conn.Close()
	})
	if response.StatusCode != http.StatusNoContent || response.Header.Get("DPoP-Nonce") == "" {
		t.Fatal(response.Status, response.Header)
	}
}

// An upstream answers an upgrade with a nonce of its own, or with none.
func TestUpgradeByProxyHasOneNonce(t *testing.T) {
	for _, nonces := range []string{"", "DPoP-Nonce: set-by-upstream\r\n", "dpop-nonce: a\r\nDPOP-NONCE: b\r\n"} {
		upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"+nonces+"\r\n")
			_ = conn.Close()
		}))
		t.Cleanup(upstream.Close)
		target, err := url.Parse(upstream.URL)
		if err != nil {
			t.Fatal(err)
		}
		upgrading := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", "echo")
				next.ServeHTTP(w, r)
			})
		}
		response := serve(t, upgrading, httputil.NewSingleHostReverseProxy(target).ServeHTTP)
		got := response.Header.Values("DPoP-Nonce")
		if response.StatusCode != http.StatusSwitchingProtocols || len(got) != 1 || len(got[0]) < 40 {
			t.Fatal(response.Status, response.Header)
		}
	}
}

func TestTimeoutHandlerInsideKeepsHeaders(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"in time":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") },
		"too late": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		response := serve(t, nil, http.TimeoutHandler(handler, 50*time.Millisecond, "too late").ServeHTTP)
		if want := map[string]int{"in time": 200, "too late": 503}[name]; response.StatusCode != want {
			t.Fatal(name, response.Status)
		}
		wantHeaders(t, response, "DPoP-Nonce, WWW-Authenticate")
	}
}
