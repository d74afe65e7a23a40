package recipes

import (
	"net/http"

	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/gofiber/fiber/v3"
)

// Fiber guards a group of routes. The others are open.
func Fiber(app *Application, guard *dpophttp.Guard) *fiber.App {
	router := fiber.New(fiber.Config{ReadBufferSize: 32 << 10}) // the default of 4 kB is small for a token and a proof
	router.Get("/health", func(c fiber.Ctx) error { return c.SendStatus(http.StatusOK) })
	accounts := router.Group("/accounts", fiberGuard(app, guard))
	accounts.Get("/:id", func(c fiber.Ctx) error {
		return c.SendString("account " + c.Params("id") + " of " + callerOf(c.Context()).Subject)
	})
	return router
}

// fiberGuard judges with Accept. Its context is c.Context(): a RequestCtx of
// fasthttp serves another request as soon as this one is answered.
func fiberGuard(app *Application, guard *dpophttp.Guard) fiber.Handler {
	return func(c fiber.Ctx) error {
		headers := c.GetReqHeaders() // all lines of each: c.Get has the first only
		path := string(c.Request().URI().PathOriginal())
		caller, nonce, code := accept(c.Context(), app, guard, c.Method(), path, headers["Authorization"], headers["Dpop"])
		defer func() { // after the handler, in place of what it has set
			if nonce != "" {
				c.Response().Header.Del("DPoP-Nonce") // all lines
				c.Set("DPoP-Nonce", nonce)
				c.Append("Access-Control-Expose-Headers", "DPoP-Nonce", "WWW-Authenticate")
			}
			if nonce != "" || code != "" {
				c.Response().Header.Del("Cache-Control")
				c.Set("Cache-Control", "no-store")
			}
		}()
		switch code {
		case "":
			c.SetContext(withCaller(c.Context(), caller))
			return c.Next()
		case unavailable:
			c.Status(http.StatusServiceUnavailable)
		default:
			c.Set("WWW-Authenticate", `DPoP error="`+code+`"`)
			c.Status(http.StatusUnauthorized)
		}
		return c.JSON(fiber.Map{"error": code})
	}
}
