package model

// A tick is a second. Instants are whole ticks, counted from the issued_at of
// the one nonce.
type tick = int8

const (
	issued    tick = 0
	tolerance tick = 2
	unbounded tick = 50 // past every instant of the model
)

// A model is what the clocks do, and what the rules are. The tests change one
// thing at a time.
type model struct {
	callers int
	longest tick // lives of nonces and ttls of calls are 1 to longest
	oneTTL  bool // all calls have the same ttl, as all nodes of a Guard do

	clocks   tick // no reading is ahead of a later one by more, on any nodes
	setTwice bool // a clock may be set back and forth again within a call
	ahead    tick // the nonce may be dated ahead of all readings by this
	prompt   bool // a Guard's reading and the check are of the same second

	steps    []step
	end      func(*model, *state, *caller) tick // of what the row stands for
	upperEnd tick                               // issued_at <= now + upperEnd
	onRow    tick                               // the row's expires_at = end + onRow
	inUntil  tick                               // until = clock + ttl + inUntil
}

// consume is Consume of a sealed nonce. Rotate has the same steps, since it
// seals the successor before them.
var consume = model{
	callers: 3, longest: 3, clocks: tolerance,
	steps:    []step{judge, insert, judgeAgain},
	end:      func(_ *model, s *state, _ *caller) tick { return s.expires },
	upperEnd: tolerance, onRow: tolerance,
}

// spend is Spend by itself, with an until that all callers compute alike. It has
// the place of the nonce's expires_at.
var spend = model{
	callers: 3, longest: 3, oneTTL: true, clocks: tolerance,
	steps: []step{judgeUntil, insert, judgeUntilAgain},
	end:   consume.end,
	onRow: tolerance,
}

// window is a Guard under Window with Proofs, on any number of nodes.
var window = model{
	callers: 2, longest: 3, oneTTL: true, clocks: tolerance,
	steps:    []step{readClock, check, judgeUntil, insert, judgeUntilAgain, readClockAgain, checkAgain},
	end:      func(m *model, _ *state, c *caller) tick { return c.clock + c.ttl + m.inUntil },
	upperEnd: tolerance, onRow: tolerance, inUntil: tolerance,
}

// A step is what a caller does at once. Before the next one it may wait: for a
// connection, a row, a suspended machine. A caller that has passed all of its
// steps is accepted.
type step struct {
	name  string
	reads bool // the clock of its node
	do    func(m *model, s *state, c *caller, now tick) outcome
}

type outcome int

const (
	passed outcome = iota
	accepted
	rejected
	impossible // for the clocks of the model
)

func passIf(ok bool) outcome {
	if ok {
		return passed
	}
	return rejected
}

// The one rule. The library does not judge again within the second that it has
// judged by; here it does, with the same answer.
var (
	judge      = step{"judges the nonce", true, fresh}
	judgeAgain = step{"judges the nonce again", true, fresh}
)

func fresh(m *model, s *state, c *caller, now tick) outcome {
	return passIf(s.expires > now && now-c.ttl <= issued && issued <= now+m.upperEnd)
}

// The row is inserted used. Its unique index lets one caller insert it.
var insert = step{"inserts the row", false, func(m *model, s *state, c *caller, _ tick) outcome {
	if s.row != noRow {
		return rejected
	}
	s.row = m.end(m, s, c) + m.onRow
	return passed
}}

var (
	judgeUntil      = step{"judges until", true, notOver}
	judgeUntilAgain = step{"judges until again", true, notOver}
)

func notOver(m *model, s *state, c *caller, now tick) outcome {
	return passIf(m.end(m, s, c) > now)
}

// A Guard reads its clock, checks the nonce, spends the proof, and checks the
// nonce again where the second of its clock has changed.
var (
	readClock = step{"reads the Guard's clock", true, func(_ *model, _ *state, c *caller, now tick) outcome {
		c.clock, c.moved = now, false
		return passed
	}}
	check = step{"checks the nonce", true, func(m *model, s *state, c *caller, now tick) outcome {
		if m.prompt && c.moved {
			return impossible
		}
		return fresh(m, s, c, now)
	}}
	readClockAgain = step{"reads the Guard's clock again", true, func(m *model, _ *state, c *caller, now tick) outcome {
		switch {
		case now != c.clock:
			return passed
		case c.moved && !m.setTwice:
			return impossible // a clock that is not set read the same second all the while
		}
		return accepted
	}}
	checkAgain = step{"checks the nonce again", true, fresh}
)
