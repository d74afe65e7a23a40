package recipes

import (
	"bufio"
	"context"
	"net"
	"net/http"

	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/gin-gonic/gin"
)

// Gin guards a group of routes. The others are open.
func Gin(app *Application, guard *dpophttp.Guard) http.Handler {
	engine := gin.New()
	engine.GET("/health", func(c *gin.Context) { c.Status(http.StatusOK) })
	accounts := engine.Group("/accounts", ginMiddleware(app.Authenticate), ginMiddleware(guard.ResourceServer))
	accounts.GET("/:id", func(c *gin.Context) {
		c.String(http.StatusOK, "account %s of %s", c.Param("id"), callerOf(c.Request.Context()).Subject)
	})
	return engine
}

// ginMiddleware mounts a middleware of net/http once, so that a Guard that
// cannot work panics at the start and not in a request.
func ginMiddleware(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	type key struct{}
	handler := middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(key{}).(*gin.Context)
		c.Request, c.Writer = r, ginWriter{c.Writer, w}
		c.Next()
	}))
	return func(c *gin.Context) {
		before := c.Request
		handler.ServeHTTP(c.Writer, before.WithContext(context.WithValue(before.Context(), key{}, c)))
		if c.Request == before { // the middleware has answered
			c.Abort()
		}
	}
}

// A ginWriter does through the middleware's writer all that writes the header:
// the Guard's keeps DPoP-Nonce and Cache-Control, whatever the handlers set.
type ginWriter struct {
	gin.ResponseWriter
	through http.ResponseWriter
}

func (w ginWriter) Header() http.Header               { return w.through.Header() }
func (w ginWriter) WriteHeader(status int)            { w.through.WriteHeader(status) }
func (w ginWriter) WriteHeaderNow()                   { _, _ = w.through.Write(nil) }
func (w ginWriter) Write(b []byte) (int, error)       { return w.through.Write(b) }
func (w ginWriter) WriteString(s string) (int, error) { return w.through.Write([]byte(s)) }
func (w ginWriter) Flush()                            { _ = http.NewResponseController(w.through).Flush() }
func (w ginWriter) Unwrap() http.ResponseWriter       { return w.through }
func (w ginWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.through).Hijack()
}
