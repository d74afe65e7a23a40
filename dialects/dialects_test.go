package dialects_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/dialects"
)

func TestForTakesGORMNames(t *testing.T) {
	for _, name := range []string{"postgres", "sqlite", "mysql"} {
		d, err := dialects.For(name)
		if err != nil || d.Name() != name {
			t.Errorf("For(%q) = %v, %v", name, d, err)
		}
	}
	for _, name := range []string{"", "sqlserver", "Postgres"} {
		if d, err := dialects.For(name); err == nil || d != nil {
			t.Errorf("For(%q) = %v, %v", name, d, err)
		}
	}
}

func TestParseTable(t *testing.T) {
	for name, want := range map[string]dialects.Table{
		"dpop_nonces":           {Name: "dpop_nonces"},
		"auth.dpop_nonces":      {Schema: "auth", Name: "dpop_nonces"},
		"Acme-2.Nonces$\u00e9":  {Schema: "Acme-2", Name: "Nonces$\u00e9"},
		strings.Repeat("a", 63): {Name: strings.Repeat("a", 63)},
	} {
		got, err := dialects.ParseTable(name)
		if err != nil || got != want || got.String() != name {
			t.Errorf("ParseTable(%q) = %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", ".", "a.", ".a", "a.b.c", "a b", `a"b`, "a`b", "a'b", "a;b", "a?b", "a@b", "a\x00", "a\xff", strings.Repeat("a", 64)} {
		if got, err := dialects.ParseTable(name); err == nil {
			t.Errorf("ParseTable(%q) = %+v", name, got)
		}
	}
}

func TestIndexNamesAreUniqueAndShortEnough(t *testing.T) {
	table := dialects.Table{Name: "dpop_nonces"}
	if table.NonceIndex() != "dpop_nonces_nonce_index" || table.ExpiresAtIndex() != "dpop_nonces_expires_at_index" {
		t.Errorf("got %s and %s", table.NonceIndex(), table.ExpiresAtIndex())
	}
	seen := map[string]string{}
	for n := 1; n <= 63; n++ {
		for _, letter := range []string{"a", "\u00e9", "\u754c"} {
			for _, last := range []string{"1", "2"} {
				name := strings.Repeat(letter, n/len(letter)) + last
				if len(name) > 63 {
					continue
				}
				table := dialects.Table{Name: name}
				for _, index := range []string{table.NonceIndex(), table.ExpiresAtIndex()} {
					if len(index) > 63 || strings.ContainsRune(index, '\ufffd') {
						t.Errorf("table %s has index %s", name, index)
					}
					if other, ok := seen[index]; ok && other != name {
						t.Errorf("%s is the index of %s and %s", index, other, name)
					}
					seen[index] = name
				}
			}
		}
	}
}

func TestInstantsSortAsText(t *testing.T) {
	start := time.Date(2026, 10, 25, 0, 59, 58, 0, time.UTC)
	for _, d := range []dialects.Dialect{dialects.SQLite(), dialects.MySQL()} {
		last := ""
		for i := 0; i < 7200; i += 7 {
			bound, ok := d.Instant(start.Add(time.Duration(i) * time.Second)).(string)
			if !ok || bound <= last {
				t.Fatalf("%s: %q after %q", d.Name(), bound, last)
			}
			last = bound
		}
	}
}

// pgError and MySQLError have what the drivers' errors have.
type pgError string

func (e pgError) Error() string    { return "ERROR: something (SQLSTATE " + string(e) + ")" }
func (e pgError) SQLState() string { return string(e) }

type MySQLError struct {
	Number   uint16
	SQLState [5]byte
	Message  string
}

func (e *MySQLError) Error() string { return fmt.Sprintf("Error %d: %s", e.Number, e.Message) }

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		dialect dialects.Dialect
		err     error
		want    dialects.Fault
	}{
		{dialects.Postgres(), pgError("40001"), dialects.Serialization},
		{dialects.Postgres(), pgError("40P01"), dialects.Locked},
		{dialects.Postgres(), pgError("55P03"), dialects.Locked},
		{dialects.Postgres(), pgError("42P10"), dialects.NoUniqueIndex},
		{dialects.Postgres(), pgError("42P07"), dialects.Exists},
		{dialects.Postgres(), pgError("42P05"), dialects.Other},
		{dialects.Postgres(), pgError("23505"), dialects.DuplicateKey},
		{dialects.Postgres(), fmt.Errorf("unique constraint \"pg_class_relname_nsp_index\": %w", pgError("23505")), dialects.Exists},
		{dialects.Postgres(), pgError("40003"), dialects.Other}, // the outcome is unknown
		{dialects.Postgres(), pgError("57014"), dialects.Other},
		{dialects.Postgres(), errors.New("driver: bad connection"), dialects.Other},
		{dialects.SQLite(), errors.New("database is locked"), dialects.Locked},
		{dialects.SQLite(), errors.New("database is locked (5) (SQLITE_BUSY)"), dialects.Locked},
		{dialects.SQLite(), errors.New("database or disk is full"), dialects.Other},
		{dialects.MySQL(), &MySQLError{Number: 1213}, dialects.Locked},
		{dialects.MySQL(), &MySQLError{Number: 1205}, dialects.Locked},
		{dialects.MySQL(), &MySQLError{Number: 1020}, dialects.Serialization},
		{dialects.MySQL(), &MySQLError{Number: 1062, Message: "Duplicate entry 'x' for key 'dpop_nonces_nonce_index'"}, dialects.DuplicateNonce},
		{dialects.MySQL(), &MySQLError{Number: 1062, Message: "Duplicate entry '.PRIMARY'' for key 't.dpop_nonces_nonce_index'"}, dialects.DuplicateNonce},
		{dialects.MySQL(), &MySQLError{Number: 1062, Message: "Duplicate entry 'x' for key 'PRIMARY'"}, dialects.DuplicateKey},
		{dialects.MySQL(), &MySQLError{Number: 1062, Message: "Duplicate entry 'x' for key 't.PRIMARY'"}, dialects.DuplicateKey},
		{dialects.MySQL(), &MySQLError{Number: 1062, Message: "Duplicate entry 'x' for key 't.idx_dpop_nonces_nonce'"}, dialects.DuplicateNonce}, // GORM's
		{dialects.MySQL(), &MySQLError{Number: 1062, Message: "Duplicate entry 'x' for key 'nonce'"}, dialects.DuplicateNonce},                   // a column's UNIQUE
		{dialects.MySQL(), &MySQLError{Number: 1062, Message: "Duplicate entry 'x' for key 'dpop_nonces.tenant_key'"}, dialects.Other},
		{dialects.MySQL(), &MySQLError{Number: 1062, Message: "Duplicate entry 'x' for key 'dpop_nonces_issued_at_index'"}, dialects.Other},
		{dialects.MySQL(), &MySQLError{Number: 1062, Message: "Duplicate entry 'nonce' for key 'audit'"}, dialects.Other},
		{dialects.MySQL(), &MySQLError{Number: 1062}, dialects.DuplicateNonce},
		{dialects.MySQL(), &MySQLError{Number: 1176}, dialects.NoUniqueIndex},
		{dialects.MySQL(), &MySQLError{Number: 2013}, dialects.Other},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			if got, _ := c.dialect.Fault(err); got != c.want {
				t.Errorf("%s: Fault(%v) = %d, want %d", c.dialect.Name(), err, got, c.want)
			}
		}
	}
}

// embedding embeds an error that may be nil.
type embedding struct{ *MySQLError }

func (embedding) Error() string { return "wrapped" }

// numbered has a number that is not MySQL's.
type numbered struct {
	Number uint16
	error
}

func (n numbered) Unwrap() error { return n.error }

func TestFaultsAreFoundInAnyWrapper(t *testing.T) {
	locked, busy := &MySQLError{Number: 1213}, errors.New("database is locked")
	var none *MySQLError
	for _, c := range []struct {
		dialect dialects.Dialect
		err     error
		want    dialects.Fault
	}{
		{dialects.MySQL(), errors.Join(errors.New("first"), fmt.Errorf("second: %w", locked)), dialects.Locked},
		{dialects.MySQL(), fmt.Errorf("%w: %w", errors.New("first"), locked), dialects.Locked},
		{dialects.MySQL(), numbered{7, locked}, dialects.Locked},
		{dialects.MySQL(), embedding{locked}, dialects.Locked},
		{dialects.MySQL(), embedding{}, dialects.Other},
		{dialects.MySQL(), none, dialects.Other},
		{dialects.MySQL(), errors.Join(embedding{}, locked), dialects.Locked},
		{dialects.MySQL(), numbered{1213, nil}, dialects.Other},
		{dialects.SQLite(), errors.Join(errors.New("first"), hidden{busy}), dialects.Locked},
		{dialects.SQLite(), hidden{fmt.Errorf("%w: %w", errors.New("first"), busy)}, dialects.Locked},
		{dialects.SQLite(), hidden{nil}, dialects.Other},
		{dialects.Postgres(), errors.Join(errors.New("first"), pgError("40P01")), dialects.Locked},
	} {
		if got, _ := c.dialect.Fault(c.err); got != c.want {
			t.Errorf("%s: Fault(%#v) = %d, want %d", c.dialect.Name(), c.err, got, c.want)
		}
	}
}

// hidden is an error whose text does not have that of the one that it wraps.
type hidden struct{ err error }

func (hidden) Error() string     { return "[hidden]" }
func (h hidden) Unwrap() []error { return []error{nil, h.err} }

func TestPoolerErrorsComeWithAdvice(t *testing.T) {
	for _, state := range []pgError{"26000", "42P05"} {
		if _, advice := dialects.Postgres().Fault(state); !strings.Contains(advice, "default_query_exec_mode") {
			t.Errorf("%s: %q", state, advice)
		}
	}
}

func TestStatementsAreFilledInOnOneLine(t *testing.T) {
	table := dialects.Table{Schema: "auth", Name: "nonces"}
	for _, d := range []dialects.Dialect{dialects.Postgres(), dialects.SQLite(), dialects.MySQL()} {
		s, err := dialects.Statements(d, table)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range append(s.Texts(), s.Schema...) {
			if strings.ContainsAny(text, "\n\t{}?") {
				t.Errorf("%s: %s", d.Name(), text)
			}
			if !strings.Contains(text, "nonces") {
				t.Errorf("%s: no table in %s", d.Name(), text)
			}
		}
	}
}
