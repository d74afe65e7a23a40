package model

import (
	"fmt"
	"strings"
	"testing"
)

// search visits every state that m can reach, those of fewest events first, and
// counts them. It ends at a second acceptance, with the shortest way there.
func (m *model) search() (states int, trace []string) {
	type node struct {
		state
		from int
	}
	var nodes []node
	seen := map[state]bool{}
	add := func(s state, from int) {
		if !seen[s] {
			seen[s] = true
			nodes = append(nodes, node{s, from})
		}
	}
	for _, s := range m.starts() {
		add(s, -1)
	}
	for i := 0; i < len(nodes); i++ {
		if nodes[i].accepted == 2 {
			var way []state
			for ; i >= 0; i = nodes[i].from {
				way = append(way, nodes[i].state)
			}
			return len(nodes), m.trace(way)
		}
		m.next(nodes[i].state, func(e event) { add(e.to, i) })
	}
	return len(nodes), nil
}

// trace tells what happened on a way, which is given backwards.
func (m *model) trace(way []state) (lines []string) {
	s := way[len(way)-1]
	start := fmt.Sprintf("the nonce is issued at %d and expires at %d, clocks have read up to %d, ttl", issued, s.expires, s.latest)
	for _, c := range s.callers[:m.callers] {
		start += fmt.Sprintf(" %d", c.ttl)
	}
	lines = append(lines, start)
	for i := len(way) - 2; i >= 0; i-- {
		line := ""
		m.next(way[i+1], func(e event) {
			if e.to == way[i] && line == "" {
				line = e.String()
			}
		})
		lines = append(lines, line)
	}
	return lines
}

func acceptsOnce(t *testing.T, m model) {
	t.Helper()
	states, trace := m.search()
	t.Logf("%d states, none with a second acceptance", states)
	if trace != nil {
		t.Errorf("accepted twice:\n%s", strings.Join(trace, "\n"))
	}
}

func acceptsTwice(t *testing.T, m model) {
	t.Helper()
	states, trace := m.search()
	if trace == nil {
		t.Fatalf("no second acceptance in %d states", states)
	}
	t.Logf("found after %d states:\n%s", states, strings.Join(trace, "\n"))
}
