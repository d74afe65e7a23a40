package recipes

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

// ginSite serves one handler behind the Guard, in gin.
func ginSite(t *testing.T, handler gin.HandlerFunc) *site {
	s := newSite(t, SingleUse)
	s.serve(t, func() http.Handler {
		engine := gin.New()
		engine.GET("/accounts/7", ginMiddleware(s.app.Authenticate), ginMiddleware(s.guard.ResourceServer), handler)
		return engine
	})
	return s
}

func TestGinHandlersCannotReplaceNonceHeaders(t *testing.T) {
	for name, handler := range map[string]gin.HandlerFunc{
		"string":           func(c *gin.Context) { c.String(http.StatusOK, "hello") },
		"write":            func(c *gin.Context) { _, _ = c.Writer.Write(nil) },
		"write string":     func(c *gin.Context) { _, _ = c.Writer.WriteString("hello") },
		"io.WriteString":   func(c *gin.Context) { _, _ = io.WriteString(c.Writer, "hello") },
		"flush":            func(c *gin.Context) { c.Writer.Flush() },
		"controller flush": func(c *gin.Context) { check(t, http.NewResponseController(c.Writer).Flush()) },
		"no such file":     func(c *gin.Context) { c.File("/nonexistent") }, // net/http removes Cache-Control
		"no content":       func(c *gin.Context) { c.JSON(http.StatusNoContent, nil) },
		"abort":            func(c *gin.Context) { c.AbortWithStatus(http.StatusNotFound) },
		"write header now": func(c *gin.Context) { c.Writer.WriteHeaderNow() },
		"nothing":          func(*gin.Context) {},
		"controller": func(c *gin.Context) {
			check(t, http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(time.Minute)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := ginSite(t, func(c *gin.Context) { setOwnHeaders(c.Writer.Header()); handler(c) })
			s.checkOwnHeaders(t, httpDoor(s))
		})
	}
}

func TestGinUpgradeKeepsNonceHeaders(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		setOwnHeaders(w.Header())
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "none")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}))
	t.Cleanup(upstream.Close)
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := ginSite(t, func(c *gin.Context) { httputil.NewSingleHostReverseProxy(target).ServeHTTP(c.Writer, c.Request) })
	d := httpDoor(s)
	nonce := d.call(t, s.prove(t, d, s.key, "")).nonce
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.app.Origin+d.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	sign(r.Header, []string{s.prove(t, d, s.key, nonce)})
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "none")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got := answer{status: response.StatusCode, nonce: response.Header.Get("DPoP-Nonce")}
	if checkHeaders(t, got, response.Header); got.status != http.StatusSwitchingProtocols || got.nonce == "" {
		t.Errorf("%+v", got)
	}
}
