package dpopnonce

import (
	"context"
	"fmt"

	"github.com/attesto/dpopnonce/dialects"
)

// Schema returns the DDL that Migrate runs, for this dialect and table, to be
// given to any migration tool.
func (r *Repository) Schema() []string { return r.dialect.Schema(r.table) }

// Migrate creates the table, its unique index on nonce and its index on
// expires_at, where they are absent by name. It alters nothing that is there,
// and takes no lock where nothing is absent. Many nodes may run it at once.
//
// An index that is created blocks writes to the table meanwhile: on a large
// table, such as one that an Ecto node filled, create it CONCURRENTLY first.
//
// Inside a transaction Migrate is an error. Any other error is the database's;
// run it again.
func (r *Repository) Migrate(ctx context.Context) error {
	if r.err != nil {
		return r.err
	}
	if r.isTx {
		return fmt.Errorf("dpopnonce: migrate: %w", errTransaction)
	}
	for n := 1; ; n++ {
		err := r.migrate(ctx)
		if err == nil {
			return nil
		}
		// Databases find out late that another node creates the same thing.
		if r.dialect.Fault(err) == dialects.Other || n > maxLocked || !pause(ctx, n) {
			return r.failed(ctx, "migrate", err)
		}
	}
}

func (r *Repository) migrate(ctx context.Context) error {
	if r.migrated(ctx) {
		return nil
	}
	for _, ddl := range r.Schema() {
		if err := r.fresh(ctx, r.db).Exec(ddl).Error; err != nil {
			return err
		}
	}
	return nil
}

// migrated reports whether the table and its indexes are there. PostgreSQL
// locks the table before it sees that an index exists, and a node that starts
// would wait behind every open transaction, and hold up all others. What GORM
// does not find, in an attached SQLite database for one, the DDL looks for.
func (r *Repository) migrated(ctx context.Context) bool {
	table := r.table.String()
	migrator := r.fresh(ctx, r.db).Migrator()
	return migrator.HasTable(table) &&
		migrator.HasIndex(table, r.table.NonceIndex()) &&
		migrator.HasIndex(table, r.table.ExpiresAtIndex())
}
