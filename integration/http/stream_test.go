package http

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

// A stream sends two events, the second once next is closed.
func streams(next <-chan struct{}) map[string]http.Handler {
	event := func(w io.Writer) { _, _ = io.WriteString(w, "data: tick\n\n") }
	engine := gin.New()
	engine.GET("/", func(c *gin.Context) {
		first := true
		c.Stream(func(w io.Writer) bool {
			if !first {
				<-next
			}
			event(w)
			defer func() { first = false }()
			return first
		})
	})
	return map[string]http.Handler{
		"gin": engine,
		"Flusher": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			event(w)
			w.(http.Flusher).Flush()
			<-next
			event(w)
		}),
		"controller": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			event(w)
			_ = http.NewResponseController(w).Flush()
			<-next
			event(w)
		}),
	}
}

func TestEventsArriveOneByOne(t *testing.T) {
	for name := range streams(nil) {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{}, 1)
			onEachSite(t, streams(next)[name], func(t *testing.T, s site) {
				body := bufio.NewReader(s.get(t, t.Context(), "/").Body)
				for range 2 {
					if line, err := body.ReadString('\n'); err != nil || line != "data: tick\n" {
						t.Fatalf("%q %v", line, err)
					}
					_, _ = body.ReadString('\n')
					next <- struct{}{}
				}
				<-next
			})
		})
	}
}

func TestGinStreamEndsWithClient(t *testing.T) {
	ended := make(chan bool, 1)
	engine := gin.New()
	engine.GET("/", func(c *gin.Context) {
		ended <- c.Stream(func(w io.Writer) bool {
			_, _ = io.WriteString(w, "tick\n")
			return true
		})
	})
	onEachSite(t, engine, func(t *testing.T, s site) {
		ctx, cancel := context.WithCancel(t.Context())
		response := s.get(t, ctx, "/")
		if _, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		cancel()
		if !<-ended {
			t.Fatal("the stream ended by itself")
		}
	})
}

// A handler answers each line of the request's body before it reads the next.
func TestFullDuplexAnswersWhileReading(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		if err := controller.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusOK)
		_ = controller.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			_, _ = io.WriteString(w, strings.ToUpper(lines.Text())+"\n")
			_ = controller.Flush()
		}
	})
	onEachSite(t, handler, func(t *testing.T, s site) {
		body, line := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Claim", s.claim(t))
		answers := bufio.NewReader(s.do(t, r).Body)
		for _, word := range []string{"one", "two"} {
			_, _ = io.WriteString(line, word+"\n")
			if answer, err := answers.ReadString('\n'); err != nil || answer != strings.ToUpper(word)+"\n" {
				t.Fatalf("%q %v", answer, err)
			}
		}
		_ = line.Close()
	})
}

func TestReadDeadlineEndsReading(t *testing.T) {
	failed := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Error(err)
		}
		_, err := r.Body.Read(make([]byte, 1))
		failed <- err
	})
	onEachSite(t, handler, func(t *testing.T, s site) {
		body, line := io.Pipe()
		defer line.Close()
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Claim", s.claim(t))
		s.do(t, r)
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

func TestHijackOnHTTP2IsNotSupported(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Error(err)
		}
		if hijacker, ok := w.(http.Hijacker); ok { // behind the Guard
			if _, _, err := hijacker.Hijack(); !errors.Is(err, http.ErrNotSupported) {
				t.Error(err)
			}
		}
	})
	onEachSite(t, handler, func(t *testing.T, s site) { s.get(t, t.Context(), "/") }, 2)
}
