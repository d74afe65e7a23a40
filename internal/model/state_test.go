package model

import "fmt"

// A state is all that the rest of a history depends on. Which node reads a clock
// is not part of it: what clocks may differ is said of any two nodes, and of one
// node before and after its clock was set. True time is not part of it either,
// since no node reads it.
type state struct {
	latest   tick // the highest reading so far
	expires  tick // the nonce's expires_at
	last     tick // clocks are followed up to here
	row      tick // the row's expires_at, or noRow
	accepted int8 // callers
	callers  [3]caller
}

const noRow tick = -128

// A caller presents the nonce, or the one proof that has it. It may stop between
// two steps for good.
type caller struct {
	next  int8 // step, or gone
	ttl   tick // of its call
	clock tick // what the Guard's clock has read
	moved bool // the caller has read another second since
}

const gone int8 = -1

// starts returns the states in which the nonce has just been issued. The clock
// that dated it is one of all, so that others may have been ahead of it.
func (m *model) starts() (all []state) {
	for expires := issued + 1; expires <= issued+m.longest; expires++ {
		for _, latest := range outward(issued, issued-m.ahead, issued+m.clocks) {
			s := state{latest: latest, expires: expires, row: noRow}
			for i := range s.callers {
				s.callers[i].next = gone
			}
			all = append(all, m.startCallers(s, 0)...)
		}
	}
	return all
}

func (m *model) startCallers(s state, i int) (all []state) {
	if i == m.callers {
		// A check passes before expires, and a Guard's clock was ahead of it by
		// no more than clocks. So no row lives up to here, and later readings
		// judge as this one does.
		s.last = s.expires + m.clocks + s.callers[0].ttl + m.inUntil + m.onRow
		return []state{s}
	}
	for ttl := tick(1); ttl <= m.longest; ttl++ {
		if i == 0 || !m.oneTTL || ttl == s.callers[0].ttl {
			s.callers[i] = caller{ttl: ttl}
			all = append(all, m.startCallers(s, i+1)...)
		}
	}
	return all
}

// readings returns what a clock may read next. It may be ahead by anything, and
// then holds the others to follow.
func (m *model) readings(s *state) []tick {
	return outward(s.latest, s.latest-m.clocks, s.last)
}

// outward returns the instants from low to high, those from now on first: of two
// histories of one length the plainer is found.
func outward(now, low, high tick) (all []tick) {
	for at := now; at <= high; at++ {
		all = append(all, at)
	}
	for at := now - 1; at >= low; at-- {
		all = append(all, at)
	}
	return all
}

// An event is what takes one state to the next.
type event struct {
	text string
	at   tick // the reading, or noReading
	who  int  // the caller, or sweeper
	then string
	to   state
}

const (
	noReading tick = -128
	sweeper   int  = -1
)

// next visits everything that can happen in s.
func (m *model) next(s state, visit func(event)) {
	for i := range s.callers[:m.callers] {
		switch c := &s.callers[i]; {
		case c.next == gone:
		case c.next == 0 && i > 0 && s.callers[i-1].next == 0:
			// Callers are alike: the first that comes is A, the second B.
		case m.steps[c.next].reads:
			for _, now := range m.readings(&s) {
				m.step(s, i, now, visit)
			}
		default:
			m.step(s, i, noReading, visit)
		}
	}
	if s.row != noRow {
		m.sweep(s, visit)
	}
}

// step visits the next step of caller i.
func (m *model) step(s state, i int, now tick, visit func(event)) {
	c := &s.callers[i]
	step := m.steps[c.next]
	if step.reads {
		s.latest = max(s.latest, now)
		c.moved = c.moved || now != c.clock
	}
	c.next++
	e := event{text: step.name, at: now, who: i}
	switch outcome := step.do(m, &s, c, now); {
	case outcome == impossible:
		return
	case outcome == rejected:
		*c, e.then = caller{next: gone}, ": rejected"
	case outcome == accepted || int(c.next) == len(m.steps):
		*c, e.then = caller{next: gone}, ": accepted"
		s.accepted++
	}
	e.to = s
	visit(e)
}

// sweep visits what a sweep does, at every reading by which the row has expired.
func (m *model) sweep(s state, visit func(event)) {
	for _, now := range m.readings(&s) {
		if to := s; s.row < now {
			to.latest, to.row = max(s.latest, now), noRow
			visit(event{text: "deletes the row", at: now, who: sweeper, to: to})
		}
	}
}

func (e event) String() string {
	who, at := "a sweep", ""
	if e.who != sweeper {
		who = string(rune('A' + e.who))
	}
	if e.at != noReading {
		at = fmt.Sprintf(" at %d", e.at)
	}
	return who + " " + e.text + at + e.then
}
