package dpopnonce

import (
	"context"
	"fmt"

	"github.com/attesto/dpopnonce/internal/session"
)

// Schema returns the DDL that Migrate runs, for this dialect and table, for any
// migration tool. Under a name without a schema, the DDL creates a second table
// where Migrate would return an error.
func (r *Repository) Schema() []string { return append([]string(nil), r.sql.Schema...) }

// Migrate creates the table, its unique index on nonce and its index on
// expires_at, where they are absent by name. It alters nothing that is there,
// and takes no lock where nothing is absent. Many nodes may run it at once.
//
// An index that is created blocks writes to the table meanwhile: on a large
// table, such as one that an Ecto node filled, create it CONCURRENTLY first.
//
// Where the table's name has no schema, and stands for a table of another schema
// than the one in which Migrate would create it, Migrate creates nothing and
// returns an error: name the schema with [WithTable]. That can be with PostgreSQL's
// search_path, whose default is "$user", public, and with attached SQLite
// databases. Where [Repository] assumes a caller's transaction, Migrate does not
// look for such a table.
//
// Inside a transaction Migrate is an error. Any other error is the database's;
// run it again.
func (r *Repository) Migrate(ctx context.Context) error {
	return r.failure("migrate", r.migrate(ctx))
}

func (r *Repository) migrate(ctx context.Context) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	if r.inTx {
		return errTransaction
	}
	_, err := r.session.DDL(ctx, func(conn session.Conn) error {
		// PostgreSQL locks the table before it sees that an index exists: a node
		// that starts would wait behind every open transaction, and hold up all
		// others. What GORM does not find, as in an attached SQLite database, the
		// DDL looks for.
		if conn.Has(r.table.NonceIndex(), r.table.ExpiresAtIndex()) {
			return nil
		}
		// A second table would hide the first, and accept again what that one did.
		if r.table.Schema == "" {
			if elsewhere, err := conn.Elsewhere(); err != nil {
				return err
			} else if elsewhere {
				return fmt.Errorf("%s is a table of another schema, a temporary one or a view, and Migrate would create another beside it: "+
					"name the schema with WithTable", r.table.Name)
			}
		}
		for _, ddl := range r.sql.Schema {
			if err := conn.DDL(ddl); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
