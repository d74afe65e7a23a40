package recipes

import (
	"fmt"
	"net/http"

	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/labstack/echo/v5"
)

// Echo guards a group of routes. The others are open.
func Echo(app *Application, guard *dpophttp.Guard) http.Handler {
	router := echo.New()
	router.GET("/health", func(c *echo.Context) error { return c.NoContent(http.StatusOK) })
	// WrapMiddleware mounts for each request. This mount panics at the start if
	// the Guard cannot work.
	_ = guard.ResourceServer(http.NotFoundHandler())
	accounts := router.Group("/accounts", echo.WrapMiddleware(app.Authenticate), echo.WrapMiddleware(guard.ResourceServer))
	accounts.GET("/:id", func(c *echo.Context) error {
		return c.String(http.StatusOK, fmt.Sprintf("account %s of %s", c.Param("id"), callerOf(c.Request().Context()).Subject))
	})
	return router
}
