package recipes

import (
	"fmt"
	"net/http"

	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/go-chi/chi/v5"
)

// Chi guards a group of routes. The others are open.
func Chi(app *Application, guard *dpophttp.Guard) http.Handler {
	router := chi.NewRouter()
	router.Get("/health", func(http.ResponseWriter, *http.Request) {})
	router.Group(func(router chi.Router) {
		router.Use(app.Authenticate, guard.ResourceServer)
		router.Get("/accounts/{id}", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "account %s of %s", chi.URLParam(r, "id"), callerOf(r.Context()).Subject)
		})
	})
	return router
}
