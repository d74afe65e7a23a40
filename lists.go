package dpopnonce

import (
	"database/sql/driver"
	"strings"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/google/uuid"
	"gorm.io/gorm/clause"
)

// textArray binds a PostgreSQL array of text that has neither quotes nor
// backslashes.
type textArray []string

func (a textArray) Value() (driver.Value, error) {
	if len(a) == 0 {
		return "{}", nil
	}
	return `{"` + strings.Join(a, `","`) + `"}`, nil
}

func uuidArray(ids []uuid.UUID) textArray {
	texts := make(textArray, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return texts
}

// newRows binds the rows of an INSERT ... VALUES, whose number GORM would put
// between parentheses.
func newRows(d dialects.Dialect, p *params) clause.Expr {
	rows := make([]string, len(p.nexts))
	vars := make([]any, 0, 4*len(p.nexts))
	for i, next := range p.nexts {
		rows[i] = "(?, ?, ?, ?)"
		vars = append(vars, p.ids[i].String(), next, d.Instant(p.issuedAt), d.Instant(p.expiresAt))
	}
	return clause.Expr{SQL: strings.Join(rows, ", "), Vars: vars}
}
