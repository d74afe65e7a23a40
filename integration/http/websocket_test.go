package http

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
	xwebsocket "golang.org/x/net/websocket"
)

// gorilla echoes one message. It sends the headers that are set already, the
// next nonce among them, because the upgrade leaves the response to it.
func gorilla(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		conn, err := upgrader.Upgrade(w, r, w.Header())
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		kind, text, err := conn.ReadMessage()
		if err == nil {
			err = conn.WriteMessage(kind, text)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// golangX does the same. Its handshake leaves no room for headers.
func golangX(t *testing.T) http.Handler {
	return xwebsocket.Handler(func(conn *xwebsocket.Conn) {
		var text string
		err := xwebsocket.Message.Receive(conn, &text)
		if err == nil {
			err = xwebsocket.Message.Send(conn, text)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// inGin serves handler as a handler of gin.
func inGin(handler http.Handler) http.Handler {
	engine := gin.New()
	engine.GET("/", gin.WrapH(handler))
	return engine
}

// echo opens a WebSocket, has one message echoed and returns the response.
func (s site) echo(t *testing.T) *http.Response {
	t.Helper()
	header := http.Header{"Claim": {s.claim(t)}, "Origin": {s.URL}}
	conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http"), header)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := conn.ReadMessage(); err != nil || string(text) != "hello" {
		t.Fatal(string(text), err)
	}
	return response
}

func TestWebSocketOpensBehindGuard(t *testing.T) {
	for name, handler := range map[string]http.Handler{
		"gorilla":        gorilla(t),
		"x/net":          golangX(t),
		"gorilla in gin": inGin(gorilla(t)),
		"x/net in gin":   inGin(golangX(t)),
	} {
		t.Run(name, func(t *testing.T) {
			onEachSite(t, handler, func(t *testing.T, s site) {
				response := s.echo(t)
				if strings.HasPrefix(name, "gorilla") {
					s.wantOneNonce(t, response)
				}
			}, 1)
		})
	}
}

// The upstream sends a nonce of its own, or none.
func TestProxiedWebSocketHasOneNonce(t *testing.T) {
	for _, nonce := range []string{"", "set-by-upstream"} {
		upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if nonce != "" {
				w.Header().Set("DPoP-Nonce", nonce)
			}
			gorilla(t)(w, r)
		}))
		t.Cleanup(upstream.Close)
		target, err := url.Parse(upstream.URL)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(target)
		for name, handler := range map[string]http.Handler{"direct": proxy, "in gin": inGin(proxy)} {
			t.Run(name, func(t *testing.T) {
				onEachSite(t, handler, func(t *testing.T, s site) { s.wantOneNonce(t, s.echo(t)) }, 1)
			})
		}
	}
}
