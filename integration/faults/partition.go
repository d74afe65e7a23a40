package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/netns"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

func partition(ctx context.Context, e *env) error {
	accepted, failed, err := e.partitionPair(ctx, true)
	if err != nil {
		return fmt.Errorf("synchronous standby: %w", err)
	}
	text := fmt.Sprintf("\nA pair, and callers beside either server, in four network namespaces. Each cut lasts %v, the deadline of a call is %v. "+
		"*Two primaries*: the standby is promoted in a partition, and the old primary lives on with the callers beside it. "+
		"If it was synchronous, it accepted %d of their nonces in the partition, and %d of their calls failed.\n", cutFor, giveUp, accepted, failed)
	if !e.short {
		if _, _, err := e.partitionPair(ctx, false); err != nil {
			return fmt.Errorf("asynchronous standby: %w", err)
		}
		if accepted, failed, err = e.partitionGalera(ctx); err != nil {
			return fmt.Errorf("galera: %w", err)
		}
		text += fmt.Sprintf("\nThree Galera nodes, each in a network namespace with callers of its own. A node is cut off until it has noticed and the other two have "+
			"accepted 500 more nonces. From when it noticed to the end of the cut its callers had %d acceptances and %d failures.\n", accepted, failed)
	}
	e.printf("%s", text)
	return nil
}

const (
	cutFor     = 4 * time.Second
	giveUp     = 3 * time.Second // the deadline of a call: shorter, so that callers see failures
	lossy      = 5               // percent of packets
	narrowRate = "2mbit"
)

// A split is a pair with callers beside either server, each of the four on a host.
type split struct {
	*pair
	net     *netns.Network
	configs []load.Config
}

func (e *env) newSplit(ctx context.Context, synchronous bool) (*split, error) {
	net, err := netns.New(4)
	if err != nil {
		return nil, err
	}
	p, err := newPair(ctx, e.dir, synchronous, net.Hosts[:2]...)
	if err != nil {
		return nil, errors.Join(err, net.Close())
	}
	s := &split{p, net, workers(2, 32, "postgres", servers.DSNOfPair(p.primary, p.standby))}
	for i := range s.configs {
		s.configs[i].Namespace, s.configs[i].Timeout = net.Hosts[2+i].Namespace, giveUp
	}
	return s, nil
}

func (s *split) close() error {
	s.primary.Stop()
	s.standby.Stop()
	return s.net.Close()
}

// partitionPair damages each link of a synchronous pair. Then, and of an
// asynchronous pair only then, the standby is promoted on its side of a partition.
func (e *env) partitionPair(ctx context.Context, synchronous bool) (accepted, failed int, err error) {
	s, err := e.newSplit(ctx, synchronous)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := migrate(ctx, s.configs[0]); err != nil {
		return 0, 0, err
	}
	if !synchronous {
		return e.promoteApart(ctx, s, 1)
	}
	primary, standby, callers := s.net.Hosts[0], s.net.Hosts[1], s.net.Hosts[3]
	both := func(a, b servers.Host) func() error {
		return func() error { return s.net.Part([]servers.Host{a}, []servers.Host{b}) }
	}
	oneWay := func(a, b servers.Host) func() error { return func() error { return s.net.Cut(a, b) } }
	for _, c := range []struct {
		name  string
		half  bool // the other half of the callers goes on alone
		fault func() error
	}{
		{"primary and standby cut apart", false, both(primary, standby)},
		{"what the primary sends the standby", false, oneWay(primary, standby)},
		{"what the standby sends the primary", false, oneWay(standby, primary)},
		{"primary and half of the callers cut apart", true, both(primary, callers)},
		{"what the primary sends them", true, oneWay(primary, callers)},
		{"what they send the primary", true, oneWay(callers, primary)},
		{fmt.Sprintf("%d %% of the packets on each link lost", lossy), false, func() error { return s.net.Lose(lossy) }},
		{"what the primary sends, " + narrowRate + "/s", false, func() error { return s.net.Narrow(primary, narrowRate) }},
	} {
		h, err := e.under(ctx, s.configs, e.scaled(e.repeats, 1), func(l *load.Load) error {
			before := l.Accepted()
			if err := l.Break(ctx, func() error {
				if err := c.fault(); err != nil {
					return err
				}
				time.Sleep(cutFor)
				if s.net.Hit() == 0 {
					return errors.New("no packet was hit")
				}
				return s.net.Heal()
			}); err != nil || !c.half {
				return err
			}
			return l.Accept(ctx, max(5000, 2*(l.Accepted()-before))) // of both halves again, which contend
		})
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", c.name, err)
		}
		if _, err := e.judge(c.name, h, false); err != nil {
			return 0, 0, err
		}
		if e.short {
			break
		}
	}
	return e.promoteApart(ctx, s, e.scaled(e.repeats, 1))
}

// promoteApart promotes the standby in a partition in which the primary lives and
// has callers. The partition heals before the old primary is stopped. It returns
// what the callers beside the old primary got in the partition.
func (e *env) promoteApart(ctx context.Context, s *split, times int) (accepted, failed int, err error) {
	var partitions []history.Fault
	h, err := e.under(ctx, s.configs, times, func(l *load.Load) error {
		old := len(partitions) % 2 // the number of the old primary and of the callers beside it
		if err := l.Break(ctx, func() error {
			h := s.net.Hosts
			if err := s.net.Part([]servers.Host{h[0], h[2]}, []servers.Host{h[1], h[3]}); err != nil {
				return err
			}
			return s.promote(ctx)
		}); err != nil {
			return err
		}
		from := history.Now()
		var but []int
		if s.synchronous {
			but = []int{old}
		}
		if err := l.Accept(ctx, 1000, but...); err != nil {
			return err
		}
		if s.synchronous {
			time.Sleep(giveUp)
		}
		partitions = append(partitions, history.Fault{From: from, To: history.Now(), Process: old})
		if err := s.net.Heal(); err != nil {
			return err
		}
		if err := l.Accept(ctx, 500, old); err != nil {
			return err
		}
		if err := s.standby.Kill(); err != nil {
			return err
		}
		if s.synchronous {
			if err := s.restore(ctx); err != nil {
				return err
			}
		}
		return l.Accept(ctx, e.scaled(5000, 2000)) // of callers that contend again
	})
	if err != nil {
		return 0, 0, err
	}
	name := "two primaries, asynchronous before"
	if s.synchronous {
		name = "two primaries, synchronous before"
	}
	if _, err := e.judge(name, h, !s.synchronous); err != nil {
		return 0, 0, err
	}
	for _, p := range partitions {
		a, f := answers(h, p)
		accepted, failed = accepted+a, failed+f
	}
	if s.synchronous && (accepted > 0 || failed == 0) {
		err = fmt.Errorf("%s: callers beside the old primary had %d acceptances and %d failures", name, accepted, failed)
	}
	return accepted, failed, err
}
