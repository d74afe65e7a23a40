package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/netns"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// patroni takes the leader of a cluster away, in several ways. The cluster chooses
// another one, and the callers find it.
func patroni(ctx context.Context, e *env) error {
	for _, synchronous := range []bool{true, false} {
		if err := e.patroni(ctx, synchronous); err != nil {
			return fmt.Errorf("synchronous_mode %v: %w", synchronous, err)
		}
	}
	e.printf("\nThree nodes, each in a network namespace with callers of its own, and etcd in a fourth, whose version 2 they use. ttl is 20 s, loop_wait 1 s, retry_timeout 3 s. " +
		"The DSN names all hosts, with `target_session_attrs=read-write`. *Killed*: Patroni and PostgreSQL, with SIGKILL, started again when another node leads. " +
		"*Paused*: all their processes, with SIGSTOP, continued when another node leads. *Cut off*: together with the callers beside them, from all others.\n")
	return nil
}

// A cluster is a Patroni cluster on a network.
type cluster struct {
	*servers.Patroni
	net *netns.Network
}

func (e *env) patroni(ctx context.Context, synchronous bool) (err error) {
	net, err := netns.New(4)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	p, err := servers.NewPatroni(e.dir, net.Hosts, synchronous)
	if err != nil {
		return err
	}
	defer p.Stop()
	if err := p.Start(); err != nil {
		return err
	}
	c := cluster{p, net}
	if err := c.whole(ctx); err != nil {
		return err
	}
	configs := workers(3, 16, "postgres", p.DSN())
	for i := range configs {
		configs[i].Namespace = net.Hosts[i].Namespace
	}
	if err := migrate(ctx, configs[0]); err != nil {
		return err
	}
	killed := loss{"leader killed", true, func(i int) error { return p.Nodes[i].Kill() }, func(i int) error { return p.Nodes[i].Start() }}
	paused := loss{"leader paused", true, func(i int) error { return p.Nodes[i].Pause() }, func(i int) error { return p.Nodes[i].Continue() }}
	cutOff := loss{"leader cut off", false, c.cutOff, func(int) error { return net.Heal() }}
	if !synchronous {
		cutOff.name += ", without synchronous_mode"
		return e.lose(ctx, c, configs, cutOff, 1, true)
	}
	for _, l := range []loss{killed, paused, cutOff} {
		if err := e.lose(ctx, c, configs, l, e.repeats, false); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

// A loss is a way to lose a node.
type loss struct {
	name    string
	callers bool // those beside the node reach the others
	lose    func(node int) error
	regain  func(node int) error
}

// lose takes the leader away until another node leads, several times.
func (e *env) lose(ctx context.Context, c cluster, configs []load.Config, kind loss, times int, hasToFail bool) error {
	h, err := e.under(ctx, configs, times, func(l *load.Load) error {
		leader, err := c.Leader(ctx, -1)
		if err != nil {
			return err
		}
		if err := l.Break(ctx, func() error {
			return errors.Join(kind.lose(leader), until(ctx, func() (bool, error) {
				_, err := c.Leader(ctx, leader)
				return err == nil, err
			}))
		}); err != nil {
			return err
		}
		var but []int
		if !kind.callers {
			but = []int{leader}
		}
		if err := l.Accept(ctx, 200, but...); err != nil {
			return err
		}
		if err := kind.regain(leader); err != nil {
			return err
		}
		return c.whole(ctx)
	})
	if err != nil {
		return err
	}
	_, err = e.judge(kind.name, h, hasToFail)
	return err
}

// cutOff parts a node from the others and from etcd.
func (c cluster) cutOff(node int) error {
	var others []servers.Host
	for i, h := range c.net.Hosts {
		if i != node {
			others = append(others, h)
		}
	}
	return c.net.Part([]servers.Host{c.net.Hosts[node]}, others)
}

// whole waits until all nodes follow one leader.
func (c cluster) whole(ctx context.Context) error {
	return until(ctx, func() (bool, error) { return c.Whole(ctx) })
}
