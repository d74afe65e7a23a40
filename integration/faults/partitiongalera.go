package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/attesto/dpopnonce/integration/faults/history"
	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/netns"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// partitionGalera cuts each node of a cluster in turn off from the other two, with
// the callers beside it. It returns what these got, once the node had noticed.
func (e *env) partitionGalera(ctx context.Context) (accepted, failed int, err error) {
	net, err := netns.New(3)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	g, err := servers.NewGaleraOn(e.dir, net.Hosts)
	if err != nil {
		return 0, 0, err
	}
	defer g.Stop()
	if err := g.Start(); err != nil {
		return 0, 0, err
	}
	var dsns []string
	for _, node := range g.Nodes {
		dsns = append(dsns, node.DSN()+"&interpolateParams=true")
	}
	configs := workers(3, 16, "mysql", dsns...)
	for i := range configs {
		configs[i].Namespace = net.Hosts[i].Namespace
	}
	if err := migrate(ctx, configs[0]); err != nil {
		return 0, 0, err
	}
	for _, c := range []struct {
		name string
		cut  func(node, other servers.Host) error
	}{
		{"a Galera node cut off", func(node, other servers.Host) error {
			return errors.Join(net.Cut(node, other), net.Cut(other, node))
		}},
		{"what a Galera node sends the others", func(node, other servers.Host) error { return net.Cut(node, other) }},
		{"what the others send a Galera node", func(node, other servers.Host) error { return net.Cut(other, node) }},
	} {
		a, f, err := e.cutNodes(ctx, c.name, g, net, configs, c.cut)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", c.name, err)
		}
		accepted, failed = accepted+a, failed+f
	}
	return accepted, failed, nil
}

// cutNodes returns what the callers of the nodes that were cut off got, once the
// node had noticed.
func (e *env) cutNodes(ctx context.Context, name string, g *servers.Galera, net *netns.Network, configs []load.Config,
	cut func(node, other servers.Host) error) (accepted, failed int, err error) {
	var alone []history.Fault
	h, err := e.under(ctx, configs, e.repeats, func(l *load.Load) error {
		node := len(alone) % len(g.Nodes)
		if err := l.Break(ctx, func() (err error) {
			for i, other := range net.Hosts {
				if i != node {
					err = errors.Join(err, cut(net.Hosts[node], other))
				}
			}
			return errors.Join(err, until(ctx, func() (bool, error) {
				primary, err := g.Primary(ctx, node)
				return err == nil && !primary, err
			}))
		}); err != nil {
			return err
		}
		from := history.Now()
		if err := l.Accept(ctx, 500, node); err != nil {
			return err
		}
		alone = append(alone, history.Fault{From: from, To: history.Now(), Process: node})
		return net.Heal()
	})
	if err != nil {
		return 0, 0, err
	}
	if _, err := e.judge(name, h, false); err != nil {
		return 0, 0, err
	}
	for _, f := range alone {
		a, n := answers(h, f)
		accepted, failed = accepted+a, failed+n
	}
	if accepted > 0 || failed == 0 {
		err = fmt.Errorf("callers of a node that was cut off had %d acceptances and %d failures", accepted, failed)
	}
	return accepted, failed, err
}

// answers counts the calls of the fault's process that began and ended during it.
func answers(h history.History, f history.Fault) (accepted, failed int) {
	for _, op := range h.Ops {
		if op.Process != f.Process || op.Start < f.From || op.End > f.To {
			continue
		}
		switch op.Outcome {
		case history.Accepted:
			accepted++
		case history.Failed:
			failed++
		}
	}
	return accepted, failed
}
