package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/servers"
	"github.com/rs/zerolog"
)

func killPgBouncer(ctx context.Context, e *env) error {
	p, err := servers.StartPostgres(e.dir)
	if err != nil {
		return err
	}
	defer p.Stop()
	b, err := servers.NewPgBouncer(e.dir, p)
	if err != nil {
		return err
	}
	return e.kill(ctx, killing{name: "dpopnonce", server: b, configs: workers(2, 32, "postgres", b.DSN()), times: e.scaled(20, 2)})
}

// A network is a proxy in front of PostgreSQL.
type network struct {
	*toxiproxy.Proxy
	dsn string
}

func newNetwork(dsn string) (*network, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{Proxy: toxiproxy.NewProxy(server, "postgres", "127.0.0.1:0", u.Host)}
	if err := n.Start(); err != nil {
		return nil, err
	}
	u.Host = n.Listen
	n.dsn = u.String()
	return n, nil
}

// with calls fn while the network has a fault, a toxic of toxiproxy.
func (n *network) with(ctx context.Context, toxic string, fn func() error) error {
	if _, err := n.Toxics.AddToxicJson(strings.NewReader(`{"name":"fault",` + toxic + `}`)); err != nil {
		return err
	}
	return errors.Join(fn(), n.Toxics.RemoveToxic(ctx, "fault"))
}

const (
	slow      = `"type":"latency","stream":"downstream","attributes":{"latency":60,"jitter":50}`
	trickling = `"type":"slicer","stream":"downstream","attributes":{"average_size":8,"size_variation":4,"delay":500}`
	// The proxy holds replies back and then closes the connection.
	loseReplies = `"type":"timeout","stream":"downstream","attributes":{"timeout":150}`
)

func brokenNetwork(ctx context.Context, e *env) error {
	p, err := servers.StartPostgres(e.dir)
	if err != nil {
		return err
	}
	defer p.Stop()
	n, err := newNetwork(p.DSN())
	if err != nil {
		return err
	}
	defer n.Stop()
	configs := workers(2, 32, "postgres", n.dsn)
	if err := migrate(ctx, configs[0]); err != nil {
		return err
	}
	for _, c := range []struct {
		name  string
		times int
		fault func() error
	}{
		{"cut", e.scaled(20, 2), func() error {
			n.Stop()
			return n.Start()
		}},
		{"slow", e.scaled(3, 1), func() error { return n.with(ctx, slow, pause(2*time.Second)) }},
		{"trickling", e.scaled(3, 1), func() error { return n.with(ctx, trickling, pause(2*time.Second)) }},
		{"replies lost", e.scaled(20, 2), func() error { return n.with(ctx, loseReplies, pause(time.Second/2)) }},
	} {
		h, err := e.under(ctx, configs, c.times, func(l *load.Load) error { return l.Break(ctx, c.fault) })
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if _, err := e.judge(c.name, h, false); err != nil {
			return err
		}
	}
	return e.lostReply(ctx, n, p.DSN())
}

// pause returns the function of a fault that lasts.
func pause(d time.Duration) func() error {
	return func() error {
		time.Sleep(d)
		return nil
	}
}
