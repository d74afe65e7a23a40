package recipes

import (
	"context"
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
	type passage struct {
		*gin.Context
		passed bool
	}
	handler := middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.Context().Value(key{}).(*passage)
		p.Request, p.Writer, p.passed = r, ginWriter{p.Writer, w}, true
		p.Next()
	}))
	return func(c *gin.Context) {
		p := &passage{Context: c}
		handler.ServeHTTP(c.Writer, c.Request.WithContext(context.WithValue(c.Request.Context(), key{}, p)))
		if !p.passed { // the middleware has answered
			c.Abort()
		}
	}
}

// A ginWriter writes through the middleware's writer: the Guard's keeps
// DPoP-Nonce and Cache-Control, whatever the handlers set.
type ginWriter struct {
	gin.ResponseWriter
	through http.ResponseWriter
}

func (w ginWriter) WriteHeader(status int)      { w.through.WriteHeader(status) }
func (w ginWriter) Write(b []byte) (int, error) { return w.through.Write(b) }
func (w ginWriter) Unwrap() http.ResponseWriter { return w.through }
