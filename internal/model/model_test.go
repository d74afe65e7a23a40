package model

import "testing"

func TestSealedNonceIsAcceptedOnce(t *testing.T) { acceptsOnce(t, consume) }

func TestSpentProofIsAcceptedOnce(t *testing.T) { acceptsOnce(t, spend) }

func TestWindowAcceptsEachProofOnce(t *testing.T) {
	t.Run("two callers", func(t *testing.T) { acceptsOnce(t, window) })
	t.Run("three callers", func(t *testing.T) {
		m := window
		m.callers, m.longest = 3, 1
		acceptsOnce(t, m)
	})
}

// Without any one of these a second caller is accepted.
func TestEachRuleIsNeeded(t *testing.T) {
	for _, c := range []struct {
		name   string
		rules  model
		change func(*model)
	}{
		{"sealed: no second judgement", consume, without(judgeAgain)},
		{"sealed: no Tolerance on the row", consume, noneOnRow},
		{"sealed: clocks beyond Tolerance", consume, clocksApart},

		{"Spend: no second judgement of until", spend, without(judgeUntilAgain)},
		{"Spend: no Tolerance on the row", spend, noneOnRow},
		{"Spend: clocks beyond Tolerance", spend, clocksApart},

		{"window: no second check", window, without(checkAgain)},
		{"window: the clock read after the check", window, readAfterCheck},
		{"window: no Tolerance in until", window, func(m *model) { m.inUntil = 0 }},
		{"window: no Tolerance on the row", window, noneOnRow},
		{"window: clocks beyond Tolerance", window, clocksApart},
		{"window, nonce from beyond Tolerance: no upper end", fromBeyond(window), noUpperEnd},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.rules
			c.change(&m)
			acceptsTwice(t, m)
		})
	}
}

// What is taken out here is made good by another rule.
func TestRulesThatOthersCover(t *testing.T) {
	for _, c := range []struct {
		name   string
		rules  model
		change func(*model)
	}{
		// The row outlives the nonce, whenever that was issued.
		{"sealed: no upper end", consume, noUpperEnd},
		{"sealed, nonce from beyond Tolerance: no upper end", fromBeyond(consume), noUpperEnd},
		// No clock issues a nonce further ahead.
		{"window: no upper end", window, noUpperEnd},
		// Once the first row may be swept, the nonce has expired on all nodes, and
		// the second check says so. Spend by itself has no such check.
		{"window: no second judgement of until", window, without(judgeUntilAgain)},
		// The upper end refuses the nonce for as long as the row would be short.
		{"window, nonce from beyond Tolerance: all rules", fromBeyond(window), func(*model) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.rules
			c.change(&m)
			acceptsOnce(t, m)
		})
	}
}

// What the rules do not cover: a second acceptance with all of them in place.
func TestBeyondTheRulesAcceptsTwice(t *testing.T) {
	// The check passes late, when the nonce has come within Tolerance of the
	// clock, and until was computed early.
	t.Run("nonce from beyond Tolerance, stall before the check", func(t *testing.T) {
		m := fromBeyond(window)
		m.prompt = false
		acceptsTwice(t, m)
	})
	// The Guard sees its clock where it was, and checks no second time.
	t.Run("clock set back and forth, unnoticed", func(t *testing.T) {
		m := window
		m.setTwice = true
		acceptsTwice(t, m)
	})
}

func TestAlwaysCheckingAgainCoversClocksSetTwice(t *testing.T) {
	m := window
	m.setTwice = true
	without(readClockAgain)(&m)
	acceptsOnce(t, m)
}

// fromBeyond returns m with a nonce that a clock out of order has dated up to
// twice Tolerance ahead of all others, or that an application has inserted so.
func fromBeyond(m model) model {
	m.ahead, m.prompt, m.longest = 2*tolerance, true, 2
	return m
}

func noUpperEnd(m *model)  { m.upperEnd = unbounded }
func noneOnRow(m *model)   { m.onRow = 0 }
func clocksApart(m *model) { m.clocks = tolerance + 2 }

func readAfterCheck(m *model) {
	m.steps = append([]step{check, readClock}, m.steps[2:]...)
}

func without(out step) func(*model) {
	return func(m *model) {
		all := m.steps
		m.steps = nil
		for _, s := range all {
			if s.name != out.name {
				m.steps = append(m.steps, s)
			}
		}
	}
}
