package dpopnonce_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm"
)

// withoutReasons cannot tell why shared calls are rejected.
type withoutReasons struct{ dialects.Dialect }

func (d withoutReasons) SQL(t dialects.Table) dialects.SQL {
	s := d.Dialect.SQL(t)
	s.ReasonAll = "SELECT broken"
	return s
}

func TestAcceptedCallersAreToldSoWhereTheReasonsOfOthersCannotBeRead(t *testing.T) {
	ctx := context.Background()
	db := openSchema(t)
	var broken atomic.Int64
	err := db.Callback().Row().After("gorm:row").Register("count_broken", func(tx *gorm.DB) {
		if strings.Contains(tx.Statement.SQL.String(), "broken") {
			broken.Add(1)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithGroupCommit(), dpopnonce.WithDialect(withoutReasons{dialects.Postgres()}))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	call := func(i int, nonce string) error {
		if i%4 < 2 {
			return r.Consume(ctx, nonce, time.Minute)
		}
		next, err := r.Rotate(ctx, nonce, time.Minute)
		if next == "" {
			return fmt.Errorf("no successor: %w", err)
		}
		return err
	}
	for broken.Load() == 0 {
		var nonces [256]string
		for i := range nonces {
			if nonces[i], err = r.Issue(ctx, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		var done sync.WaitGroup
		for i, nonce := range nonces {
			done.Add(1)
			go func(i int, nonce string) {
				defer done.Done()
				if i%2 == 0 {
					if err := call(i, nonce); err != nil {
						t.Errorf("a good nonce: %v", err)
					}
				} else if err := call(i, "unknown-"+nonce); !errors.Is(err, dpopnonce.ErrUnknown) {
					t.Errorf("an unknown nonce: %v", err)
				}
			}(i, nonce)
		}
		done.Wait()
	}
}
