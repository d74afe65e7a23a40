package main

import (
	"testing"
	"time"

	"github.com/attesto/dpopnonce/integration/dbtest"
)

// costs are rows and statements of a refusal: no proof, no nonce, a garbage
// nonce, a garbage nonce of the sealed form. A garbage nonce that is not of the
// sealed form may be a stored one to a repository WithSealer, which looks for it.
var costs = map[string]map[string][4]cost{
	"SQLite": {
		"SingleUse, stored":     {{0, 0}, {1, 1}, {1, 3}, {1, 3}},
		"SingleUse, WithSealer": {{0, 0}, {0, 0}, {0, 2}, {0, 0}},
		"Window, stored":        {{0, 0}, {0, 0}, {0, 1}, {0, 1}},
		"Window, Sealer":        {{0, 0}, {0, 0}, {0, 0}, {0, 0}},
	},
	"PostgreSQL": {
		"SingleUse, stored":     {{0, 0}, {1, 1}, {1, 1}, {1, 1}},
		"SingleUse, WithSealer": {{0, 0}, {0, 0}, {0, 2}, {0, 0}},
		"Window, stored":        {{0, 0}, {0, 0}, {0, 1}, {0, 1}},
		"Window, Sealer":        {{0, 0}, {0, 0}, {0, 0}, {0, 0}},
	},
}

// onEachDatabase runs a test for each policy on an empty table.
func onEachDatabase(t *testing.T, test func(t *testing.T, db *database, p policy, want [4]cost)) {
	for name, open := range map[string]func(t *testing.T) (*database, error){
		"SQLite":     func(t *testing.T) (*database, error) { return openSQLite(dbtest.SQLite(t)) },
		"PostgreSQL": func(t *testing.T) (*database, error) { return openPostgres(dbtest.NewPostgres(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			db, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(db.close)
			for _, p := range policies {
				t.Run(p.name, func(t *testing.T) { test(t, db, p, costs[name][p.name]) })
			}
		})
	}
}

// flooded starts a server and makes the proofs of a flood.
func flooded(t *testing.T, db *database, p policy, f flood) (*server, []string) {
	t.Helper()
	s, err := start(t.Context(), db, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	proofs, err := f.proofs(s.url)
	if err != nil {
		t.Fatal(err)
	}
	return s, proofs
}

func TestRefusalsCostWhatThePolicySays(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, db *database, p policy, want [4]cost) {
		for i, f := range floods[1:] {
			s, proofs := flooded(t, db, p, f)
			got, err := s.cost(t.Context(), proofs)
			if err != nil || got != want[i] {
				t.Errorf("%s: %+v, want %+v, %v", f.name, got, want[i], err)
			}
		}
	})
}

func TestHonestClientIsServedBesideFlood(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, db *database, p policy, _ [4]cost) {
		for _, f := range floods {
			s, proofs := flooded(t, db, p, f)
			got, err := s.load(t.Context(), proofs, 100*time.Millisecond)
			if err != nil || got.served == 0 || got.failures != 0 {
				t.Errorf("%s: %+v, %v", f.name, got, err)
			}
		}
	})
}
