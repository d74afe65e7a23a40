package main

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

//go:embed page
var pageFiles embed.FS

// A pageServer is what the page has to know of a server: it is a client. One
// that is not a demonstration has no secret in a page.
type pageServer struct {
	Issuer string            `json:"issuer"`
	Client map[string]string `json:"client"`
}

// runPage serves the page at c.addr until ctx ends, and two servers of other
// origins on new databases, one under each policy.
func runPage(ctx context.Context, c config) error {
	dir, err := os.MkdirTemp("", "authserver")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	c.addr, c.dsn, c.issuer, c.origin = "127.0.0.1:0", "", "", "http://"+listener.Addr().String()

	servers := map[string]pageServer{}
	run := func(ctx context.Context) error { return servePage(ctx, listener, servers) }
	for _, policy := range []string{"single-use", "window"} {
		c, next := c, run
		c.file = filepath.Join(dir, policy+".db")
		if err := c.setPolicy(policy); err != nil {
			return err
		}
		run = func(ctx context.Context) error {
			return serveAnd(ctx, c, demoLog().With("policy", policy), func(ctx context.Context, issuer string) error {
				servers[policy] = pageServer{issuer, map[string]string{"id": c.clientID, "secret": c.clientSecret}}
				return next(ctx)
			})
		}
	}
	return run(ctx)
}

func servePage(ctx context.Context, listener net.Listener, servers map[string]pageServer) error {
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	// The servers allow one origin, and localhost is another.
	mux.Handle("localhost/", http.RedirectHandler("http://"+listener.Addr().String(), http.StatusFound))
	mux.HandleFunc("GET /servers.json", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, servers)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer server.Close()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Printf("\nOpen http://%s in a browser. Ctrl-C ends it.\n\n", listener.Addr())
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}
