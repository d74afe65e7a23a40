package main

import (
	"context"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// A step changes all nodes of a fleet, one after the other.
type step struct {
	name   string
	roles  []load.Role // the nodes are restarted with these, unless nil
	keys   []load.Key
	waits  bool // for a ttl, so that nonces from before the last step have expired
	breaks bool // has to challenge a client more than once
}

var (
	stores, opens, seals = []load.Role{load.Stores}, []load.Role{load.Opens}, []load.Role{load.Seals}

	carefully = []step{
		{name: "stored to opener", roles: opens, keys: []load.Key{1}},
		{name: "opener to sealer", roles: seals, keys: []load.Key{1}},
		{name: "the new key last", keys: []load.Key{1, 2}},
		{name: "the new key first", keys: []load.Key{2, 1}},
		{name: "without the old key", keys: []load.Key{2}, waits: true},
		{name: "sealer to opener", roles: opens, keys: []load.Key{2}},
		{name: "opener to stored", roles: stores, keys: []load.Key{2}, waits: true},
	}
	carelessly = []step{
		{name: "stored to sealer, at once", roles: seals, keys: []load.Key{1}, breaks: true},
		{name: "another key, at once", roles: seals, keys: []load.Key{2}, breaks: true},
	}
)

// deployment changes what the nodes of a fleet issue and their keys, under load.
func deployment(ctx context.Context, e *env) error {
	p, err := servers.StartPostgres(e.dir)
	if err != nil {
		return err
	}
	defer p.Stop()
	var reports []string
	for _, way := range []struct {
		name  string
		steps []step
	}{{"in the documented order", carefully}, {"steps left out", carelessly}} {
		report, err := e.deploy(ctx, p.DSN(), way.name, way.steps)
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		reports = append(reports, report)
	}
	e.printf("\n| step | rotations by clients | clients challenged | challenges of one client, at most |\n|---|---:|---:|---:|\n")
	for _, report := range reports {
		e.printf("%s", report)
	}
	e.printf("\nThree nodes, under load, are changed one after the other in each step: restarted, or given other keys by `SetKeys`. Beside the load, %d clients "+
		"rotate one nonce after the other, each at any node. A client that presents the nonce that it was given last and is refused, before the nonce's time is over, is challenged. "+
		"A nonce lives for %v. The old key is dropped, and sealed nonces are no longer accepted, when this has passed since the step before.\n", clients, deploymentTTL)
	return nil
}

const (
	clients       = 10
	deploymentTTL = 5 * time.Second
)

func (e *env) deploy(ctx context.Context, dsn, name string, steps []step) (report string, err error) {
	configs := workers(3, 16, "postgres", dsn)
	for i := range configs {
		configs[i].Roles, configs[i].TTL = stores, deploymentTTL
	}
	if err := migrate(ctx, configs[0]); err != nil {
		return "", err
	}
	l, err := load.Start(configs...)
	if err != nil {
		return "", err
	}
	l.AddClients(clients)
	each := max(300, e.acceptances()/(len(steps)*len(configs)))
	for _, s := range steps {
		if err = e.take(ctx, l, s, len(configs), each); err != nil {
			err = fmt.Errorf("%s: %w", s.name, err)
			break
		}
		c := l.ReportClients()
		report += fmt.Sprintf("| %s | %d | %d | %d |\n", s.name, c.Rotations, c.Challenged, c.Most)
		if c.Rotations < e.acceptances()/100 || s.breaks != (c.Most > 1) {
			err = fmt.Errorf("%s: %+v", s.name, c)
			break
		}
	}
	h, stopped := l.Stop()
	if err == nil {
		err = stopped
	}
	if err != nil {
		return "", err
	}
	_, err = e.judge(name, h, false)
	return report, err
}

// take takes a step, with acceptances after the change of each node.
func (e *env) take(ctx context.Context, l *load.Load, s step, nodes, acceptances int) error {
	if s.waits {
		time.Sleep(deploymentTTL + time.Second)
	}
	for i := range nodes {
		change := func(c *load.Config) { c.Keys = s.keys }
		act := l.Configure
		if s.roles != nil {
			act = l.Restart
			change = func(c *load.Config) { c.Keys, c.Roles = s.keys, s.roles }
		}
		if err := act(ctx, i, change); err != nil {
			return err
		}
		if err := l.Accept(ctx, acceptances); err != nil {
			return err
		}
	}
	return nil
}
