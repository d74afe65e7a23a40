package dialects_test

import (
	"strings"
	"testing"

	"github.com/attesto/dpopnonce/dialects"
)

// broken is a dialect with another SQL.
type broken struct {
	dialects.Dialect
	sql dialects.SQL
}

func (b broken) SQL() dialects.SQL { return b.sql }

// statements fills the statements of d as change leaves them.
func statements(d dialects.Dialect, table string, change func(*dialects.SQL)) error {
	s := d.SQL()
	s.Schema = append([]string(nil), s.Schema...)
	if s.Foreign != nil {
		foreign := *s.Foreign
		s.Foreign = &foreign
	}
	if s.Shared != nil {
		shared := *s.Shared
		s.Shared = &shared
		if shared.Single != nil {
			single := *shared.Single
			shared.Single = &single
		}
		if shared.Steps != nil {
			steps := *shared.Steps
			shared.Steps = &steps
		}
	}
	change(&s)
	_, err := dialects.Statements(broken{d, s}, dialects.Table{Name: table})
	return err
}

func TestSharedNeedsOneStrategy(t *testing.T) {
	for name, change := range map[string]func(*dialects.SQL){
		"both": func(s *dialects.SQL) { s.Shared.Steps = dialects.SQLite().SQL().Shared.Steps },
		"none": func(s *dialects.SQL) { s.Shared.Single = nil },
	} {
		if err := statements(dialects.Postgres(), "t", change); err == nil || !strings.Contains(err.Error(), "want one of Single and Steps") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatementsRefuseCommentsAndStrayBraces(t *testing.T) {
	consume := func(add string) func(*dialects.SQL) {
		return func(s *dialects.SQL) { s.Consume += add }
	}
	for _, c := range []struct {
		dialect dialects.Dialect
		change  func(*dialects.SQL)
		want    string
	}{
		{dialects.SQLite(), consume("-- the rule of time\n AND true"), "SQL.Consume: a -- in the statement"},
		{dialects.Postgres(), consume(" --"), "SQL.Consume: a -- in the statement"},
		{dialects.SQLite(), func(s *dialects.SQL) { s.Fresh = "true --\n AND " + s.Fresh }, "a -- in the statement"},
		{dialects.SQLite(), func(s *dialects.SQL) { s.Schema[0] = "-- a table\n" + s.Schema[0] }, "SQL.Schema: a -- in the statement"},
		{dialects.MySQL(), consume("# the rule of time\n AND true"), "SQL.Consume: a # in the statement"},
		{dialects.SQLite(), consume(" AND a = ?"), "SQL.Consume: a ? in the statement"},
		{dialects.SQLite(), consume(" AND { table } IS NULL"), "SQL.Consume: a brace outside of a gap"},
		{dialects.SQLite(), consume(" AND {table"), "SQL.Consume: a brace outside of a gap"},
		{dialects.SQLite(), consume(" AND table}"), "SQL.Consume: a brace outside of a gap"},
		{dialects.SQLite(), consume(" AND {tabel}"), "SQL.Consume: unknown name {tabel}"},
	} {
		if err := statements(c.dialect, "t", c.change); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	// What a table's name has is quoted, and # is an operator of PostgreSQL.
	for _, d := range []dialects.Dialect{dialects.Postgres(), dialects.SQLite(), dialects.MySQL()} {
		if err := statements(d, "a--b", func(*dialects.SQL) {}); err != nil {
			t.Error(err)
		}
	}
	if err := statements(dialects.Postgres(), "t", consume(" AND 1 # 2 > 0")); err != nil {
		t.Error(err)
	}
}

func TestStatementsMustNameWhatTheyNeed(t *testing.T) {
	type sql = dialects.SQL
	all := map[string]struct {
		text  func(*sql) *string
		needs string
	}{
		"Insert":                {func(s *sql) *string { return &s.Insert }, "@id @nonce @issued_at @expires_at @used_at"},
		"Consume":               {func(s *sql) *string { return &s.Consume }, "@nonce @now {fresh}"},
		"Verdict":               {func(s *sql) *string { return &s.Verdict }, "@nonce {fresh}"},
		"Sweep":                 {func(s *sql) *string { return &s.Sweep }, "@now @limit"},
		"SweepLag":              {func(s *sql) *string { return &s.SweepLag }, "@now"},
		"SweepView":             {func(s *sql) *string { return &s.SweepView }, "@now @limit"},
		"InsertAsync":           {func(s *sql) *string { return &s.InsertAsync }, "@id @nonce @issued_at @expires_at"},
		"Rotate":                {func(s *sql) *string { return &s.Rotate }, "@nonce @now @next @id @issued_at @expires_at"},
		"Shared.Issue":          {func(s *sql) *string { return &s.Shared.Issue }, "@ids @nexts @issued_at @expires_at"},
		"Shared.Accept":         {func(s *sql) *string { return &s.Shared.Accept }, "@ids @nexts @issued @expires @now"},
		"Shared.Verdicts":       {func(s *sql) *string { return &s.Shared.Verdicts }, "@nonces"},
		"Shared.Single.Consume": {func(s *sql) *string { return &s.Shared.Single.Consume }, "@nonces @now"},
		"Shared.Single.Rotate":  {func(s *sql) *string { return &s.Shared.Single.Rotate }, "@nonces @now @ids @nexts @issued_at @expires_at"},
	}
	steps := map[string]struct {
		text  func(*sql) *string
		needs string
	}{
		"Foreign.Consume":   {func(s *sql) *string { return &s.Foreign.Consume }, "@nonce @now"},
		"Foreign.Verdict":   {func(s *sql) *string { return &s.Foreign.Verdict }, "@nonce"},
		"Shared.Issue":      {func(s *sql) *string { return &s.Shared.Issue }, "@rows"},
		"Shared.Accept":     {func(s *sql) *string { return &s.Shared.Accept }, "@rows"},
		"Shared.Steps.Lock": {func(s *sql) *string { return &s.Shared.Steps.Lock }, "@nonces @now"}, // without a Consume
	}
	// drop takes one name out of a statement, and no other one that begins with it.
	drop := func(text, name string) string {
		if name == "{fresh}" {
			return strings.ReplaceAll(text, name, "true")
		}
		words := strings.Split(text, name)
		for i, rest := range words[1:] {
			if rest != "" && strings.ContainsAny(rest[:1], "_abcdefghijklmnopqrstuvwxyz") {
				words[i+1] = name + rest
			} else {
				words[i+1] = "1" + rest
			}
		}
		return strings.Join(words, "")
	}
	check := func(d dialects.Dialect, name, needs string, text func(*sql) *string) {
		for _, need := range strings.Fields(needs) {
			err := statements(d, "t", func(s *sql) { *text(s) = drop(*text(s), need) })
			if want := "SQL." + name + ": no " + need + " in the statement"; err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", d.Name(), err, want)
			}
		}
	}
	for name, c := range all {
		check(dialects.Postgres(), name, c.needs, c.text)
	}
	for name, c := range steps {
		check(dialects.SQLite(), name, c.needs, c.text)
	}
	check(dialects.MySQL(), "Shared.Steps.Lock", "@nonces", func(s *sql) *string { return &s.Shared.Steps.Lock })
	check(dialects.MySQL(), "Shared.Steps.Consume", "@locked @now", func(s *sql) *string { return &s.Shared.Steps.Consume })

	if err := statements(dialects.SQLite(), "t", func(s *sql) { s.Schema = nil }); err == nil || !strings.HasSuffix(err.Error(), "SQL.Schema: no statement") {
		t.Errorf("without a schema: %v", err)
	}
	// The rule of time may be written out.
	if err := statements(dialects.Postgres(), "t", func(s *sql) {
		s.Consume = strings.ReplaceAll(s.Consume, "{fresh}", "expires_at >= @next_second AND\n issued_at >= @oldest AND issued_at < @too_new")
	}); err != nil {
		t.Error(err)
	}
}
