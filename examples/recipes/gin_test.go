package recipes

import (
	"net/http"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

func TestGinHandlersCannotRemoveNoStore(t *testing.T) {
	for name, handler := range map[string]gin.HandlerFunc{
		"sets another": func(c *gin.Context) { c.Header("Cache-Control", "public"); c.String(http.StatusOK, "hello") },
		"writes alone": func(c *gin.Context) { c.Header("Cache-Control", "public"); _, _ = c.Writer.Write(nil) },
		"no such file": func(c *gin.Context) { c.File("/nonexistent") }, // net/http removes it
		"controller": func(c *gin.Context) {
			if err := http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
			}
		},
	} {
		s := newSite(t, SingleUse)
		s.serve(t, func() http.Handler {
			engine := gin.New()
			engine.GET("/accounts/7", ginMiddleware(s.app.Authenticate), ginMiddleware(s.guard.ResourceServer), handler)
			return engine
		})
		d := httpDoor(s) // looks at the headers of all that has a nonce
		nonce := d.call(t, s.prove(t, d, s.key, "")).nonce
		if got := d.call(t, s.prove(t, d, s.key, nonce)); got.nonce == "" || got.nonce == nonce {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
