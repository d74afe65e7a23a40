// Command authserver is an OAuth authorization server and a resource server in
// one process and on one origin. Both require DPoP nonces. It has /token for
// client credentials and authorization codes, /par for pushed authorization
// requests, /authorize, which asks nobody, /resource, and /healthz.
//
//	authserver                       # on 127.0.0.1:8080, with SQLite
//	authserver -dsn postgres://...   # one of several nodes on one database
//	authserver -demo                 # with a client that runs the flow
//	authserver -metrics              # with /metrics, for Prometheus
//	authserver -page                 # with a page on which to watch the flow
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

func main() {
	var c config
	flag.StringVar(&c.addr, "addr", "127.0.0.1:8080", "address to listen on")
	flag.StringVar(&c.issuer, "issuer", "", "URL under which clients reach the server (default: http:// and the address)")
	flag.StringVar(&c.dsn, "dsn", "", "PostgreSQL to use, as postgres://user:password@host:port/database (default: SQLite)")
	flag.StringVar(&c.file, "file", "authserver.db", "SQLite file")
	flag.StringVar(&c.origin, "origin", "", "origin of browser clients, as https://app.example (default: none)")
	flag.StringVar(&c.clientID, "client-id", "demo", "the registered client")
	flag.StringVar(&c.clientSecret, "client-secret", "demo-secret", "its secret")
	flag.StringVar(&c.redirectURI, "redirect-uri", "http://127.0.0.1:8081/callback", "where it takes authorization codes")
	flag.BoolVar(&c.bearer, "bearer", false, "also issue Bearer tokens, to requests without a proof, and take them at /resource")
	flag.DurationVar(&c.ttl, "ttl", dpopnonce.DefaultTTL, "lifetime of a nonce, at least 2s")
	flag.DurationVar(&c.ahead, "clock", 0, "how far the clock that judges nonces is ahead, to try what expires")
	c.policy = dpophttp.Window
	flag.Func("policy", policyHelp, c.setPolicy)
	flag.BoolVar(&c.proofs, "proofs", true, proofsHelp)
	flag.BoolVar(&c.metrics, "metrics", false, "serve metrics for Prometheus at /metrics")
	demo := flag.Bool("demo", false, "run a client through the flow on a new database, print each exchange, and exit")
	page := flag.Bool("page", false, "serve a page on which to watch the flow, at the address, and servers for it under both policies, on new SQLite files")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := serve
	switch {
	case *demo:
		run = runDemo
	case *page:
		run = runPage
	}
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "authserver:", err)
		os.Exit(1)
	}
}

const (
	policyHelp = `window or single-use. window accepts a nonce until it expires, and each
proof once: clients may send requests in parallel. single-use accepts each
nonce once: a client that sends in parallel is challenged for all but one
request, and one that retries only once can then fail (default window)`
	proofsHelp = `under window, accept each proof once. -proofs=false remembers no proof, and
one that was seen can be sent again until its nonce expires. It is there to be compared
with, and the server warns of it. It means nothing under single-use`
)

type config struct {
	addr, issuer, origin   string
	dsn, file              string
	clientID, clientSecret string
	redirectURI            string
	ttl, ahead             time.Duration
	policy                 dpophttp.Policy
	proofs, bearer         bool
	metrics                bool
}

func (c *config) setPolicy(name string) error {
	switch name {
	case "single-use":
		c.policy = dpophttp.SingleUse
	case "window":
		c.policy = dpophttp.Window
	default:
		return fmt.Errorf("unknown policy")
	}
	return nil
}

// now is the clock of nonces and proofs.
func (c config) now() time.Time { return time.Now().Add(c.ahead) }

// serve runs the server until ctx ends, and then waits for requests in flight.
func serve(ctx context.Context, c config) error {
	return serveAnd(ctx, c, slog.New(slog.NewJSONHandler(os.Stdout, nil)), func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return nil
	})
}

// serveAnd runs the server while fn runs. The argument of fn is the server's URL.
func serveAnd(ctx context.Context, c config, log *slog.Logger, fn func(context.Context, string) error) error {
	if c.ttl < 2*time.Second {
		return fmt.Errorf("ttl of %v is under two seconds", c.ttl)
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	if c.issuer == "" {
		c.issuer = "http://" + listener.Addr().String()
	}
	store, err := openStore(ctx, c, log)
	if err != nil {
		return err
	}
	defer store.close()
	background, stop := context.WithCancel(ctx)
	defer stop()
	swept := store.sweepEvery(background, time.Minute)

	server := &http.Server{
		Handler:           newHandler(c, store, log),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		// More than maxProof: an oversized proof gets an OAuth error, not a bare 431.
		MaxHeaderBytes: 4 << 20,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("listening", "issuer", c.issuer, "address", listener.Addr().String())
	if c.policy == dpophttp.Window && !c.proofs {
		log.Warn("proofs are not remembered: each can be sent again until its nonce expires")
	}

	work, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() { end(fmt.Errorf("server: %w", <-failed)) }()
	err = fn(work, c.issuer)
	if cause := context.Cause(work); err == nil && ctx.Err() == nil && cause != nil {
		err = cause
	}

	log.Info("shutting down")
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	err = errors.Join(err, server.Shutdown(bounded))
	stop()
	<-swept
	return err
}
