package dpopnonce_test

import (
	"context"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
)

// TestNoObserverCostsNothing has what calls without a statement allocated, and how
// often they read the clock, before there were observers. GORM, whose releases
// differ, takes no part in them.
func TestNoObserverCostsNothing(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	migrate(t, db)
	readings := 0
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithClock(func() time.Time {
		readings++
		return noon.Add(time.Second / 2)
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		call             func()
		allocs, readings int
	}{
		"missing":   {func() { _ = r.Consume(ctx, "", time.Minute) }, 2, 0},
		"malformed": {func() { _ = r.Check(ctx, "mal formed", time.Minute) }, 2, 0},
		"spend":     {func() { _ = r.Spend(ctx, "proof", noon) }, 5, 1},
	} {
		const runs = 100
		readings = 0
		allocs := testing.AllocsPerRun(runs, c.call)
		if n := readings / (runs + 1); int(allocs) > c.allocs || n != c.readings {
			t.Errorf("%s: %v allocations and %d readings of the clock, want %d and %d", name, allocs, n, c.allocs, c.readings)
		}
	}
}
