package recipes

import (
	"io"
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v3"
	"github.com/labstack/echo/v5"
)

func TestHandlersCannotReplaceNonceHeaders(t *testing.T) {
	var rude http.HandlerFunc = func(w http.ResponseWriter, _ *http.Request) {
		setOwnHeaders(w.Header())
		_, _ = io.WriteString(w, "hello")
	}
	for name, recipe := range map[string]func(*site) http.Handler{
		"chi": func(s *site) http.Handler {
			router := chi.NewRouter()
			router.Use(s.app.Authenticate, s.guard.ResourceServer)
			router.Get("/accounts/7", rude)
			return router
		},
		"echo":            func(s *site) http.Handler { return echoWith(s, rude.ServeHTTP, nil) },
		"echo, flushed":   func(s *site) http.Handler { return echoWith(s, flush, nil) },
		"echo, an error":  func(s *site) http.Handler { return echoWith(s, nothing, echo.ErrNotFound) },
		"bearer":          func(s *site) http.Handler { return BearerBesideDPoP(s.app, s.guard, rude) },
		"demand":          func(s *site) http.Handler { return PerRequest(s.app, s.guard, always, rude) },
		"demand, offered": func(s *site) http.Handler { return PerRequest(s.app, s.guard, never, rude) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Window)
			s.checkOwnHeaders(t, onNetHTTP(recipe)(t, s))
		})
	}
	for name, handler := range map[string]fiber.Handler{
		"sent":     func(c fiber.Ctx) error { return c.SendString("hello") },
		"reset":    func(c fiber.Ctx) error { c.Response().Reset(); return nil },
		"an error": func(fiber.Ctx) error { return fiber.ErrNotFound },
	} {
		t.Run("fiber, "+name, func(t *testing.T) {
			s := newSite(t, Window)
			s.checkOwnHeaders(t, s.serveFiber(t, func() *fiber.App {
				router := fiber.New()
				router.Get("/accounts/7", fiberGuard(s.app, s.guard), func(c fiber.Ctx) error {
					c.Set("Cache-Control", "public")
					c.Response().Header.Add("Cache-Control", "max-age=60")
					c.Response().Header.Add("DPoP-Nonce", "the handler's")
					c.Response().Header.Add("DPoP-Nonce", "another one")
					return handler(c)
				})
				return router
			}))
		})
	}
}

func echoWith(s *site, handler func(http.ResponseWriter, *http.Request), err error) http.Handler {
	router := echo.New()
	router.Use(echo.WrapMiddleware(s.app.Authenticate), echo.WrapMiddleware(s.guard.ResourceServer))
	router.GET("/accounts/7", func(c *echo.Context) error {
		setOwnHeaders(c.Response().Header())
		handler(c.Response(), c.Request())
		return err
	})
	return router
}

func never(*http.Request) bool                     { return false }
func nothing(http.ResponseWriter, *http.Request)   {}
func flush(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }

// setOwnHeaders sets what a handler should leave to the Guard, and one that passes
// on an upstream's response does not.
func setOwnHeaders(h http.Header) {
	h.Set("Cache-Control", "public")
	h.Add("DPoP-Nonce", "the handler's")
	h.Add("DPoP-Nonce", "another one")
}

// checkOwnHeaders calls a handler that sets its own headers: a nonce that it
// sends is the Guard's.
func (s *site) checkOwnHeaders(t *testing.T, d door) {
	t.Helper()
	first := d.call(t, s.prove(t, d, s.key, ""))
	second := d.call(t, s.prove(t, d, s.key, first.nonce))
	third := d.call(t, s.prove(t, d, s.key, second.nonce))
	if second.nonce == "" || second.status == 401 || third.nonce == "" || third.status == 401 {
		t.Errorf("%+v %+v", second, third)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
