package dialects

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxIdentifier is the longest name that PostgreSQL keeps whole, in bytes; it
// also fits the other databases.
const maxIdentifier = 63

// Table names a table. Schema is empty for the connection's default; SQLite
// calls it the name of an attached database, MySQL a database.
type Table struct {
	Schema, Name string
}

// ParseTable reads "name" or "schema.name". The parts are letters, digits and
// "_", "-" or "$", at most 63 bytes each: nothing that needs escaping in SQL,
// and nothing that PostgreSQL would cut, so that two names are two tables.
func ParseTable(name string) (Table, error) {
	parts := strings.Split(name, ".")
	for _, part := range parts {
		if err := checkIdentifier(part); err != nil {
			return Table{}, fmt.Errorf("table %q: %w", name, err)
		}
	}
	switch len(parts) {
	case 1:
		return Table{Name: parts[0]}, nil
	case 2:
		return Table{Schema: parts[0], Name: parts[1]}, nil
	}
	return Table{}, fmt.Errorf("table %q: want name or schema.name", name)
}

func checkIdentifier(s string) error {
	switch {
	case s == "":
		return errors.New("empty name")
	case len(s) > maxIdentifier:
		return fmt.Errorf("longer than %d bytes", maxIdentifier)
	case !utf8.ValidString(s):
		return errors.New("not UTF-8")
	}
	for _, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_-$", c) {
			return fmt.Errorf("unexpected %q", c)
		}
	}
	return nil
}

// String returns the name as ParseTable reads it.
func (t Table) String() string {
	if t.Schema == "" {
		return t.Name
	}
	return t.Schema + "." + t.Name
}

// names are what fills the gaps of a statement that quotes names with q.
func (t Table) names(q string) map[string]string {
	if q == "" {
		q = `"`
	}
	schema := ""
	if t.Schema != "" {
		schema = q + t.Schema + q + "."
	}
	return map[string]string{
		"{table}":            schema + q + t.Name + q,
		"{name}":             q + t.Name + q,
		"{schema}":           schema,
		"{nonce_index}":      q + t.NonceIndex() + q,
		"{expires_at_index}": q + t.ExpiresAtIndex() + q,
		"{fresh}":            fresh,
	}
}

// NonceIndex is the name of the unique index on nonce.
func (t Table) NonceIndex() string { return t.index("_nonce_index") }

// ExpiresAtIndex is the name of the index on expires_at.
func (t Table) ExpiresAtIndex() string { return t.index("_expires_at_index") }

// index appends suffix to the table's name. A name that grows too long is cut
// and gets a hash of the whole: databases cut silently, and IF NOT EXISTS then
// takes one table's index for another's.
func (t Table) index(suffix string) string {
	if len(t.Name)+len(suffix) <= maxIdentifier {
		return t.Name + suffix
	}
	sum := sha256.Sum256([]byte(t.Name))
	suffix = "_" + hex.EncodeToString(sum[:6]) + suffix
	cut := maxIdentifier - len(suffix)
	for !utf8.RuneStart(t.Name[cut]) {
		cut--
	}
	return t.Name[:cut] + suffix
}
