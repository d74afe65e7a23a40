package dialects

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// fresh is the rule of time, as SQL documents it.
const fresh = `expires_at >= @next_second AND issued_at >= @oldest AND issued_at < @too_new`

// What several statements name.
const (
	rule = "now next_second oldest too_new"
	row  = " id issued_at expires_at"
)

// each calls do for every statement, with its name, the values that it must name,
// and the others that it may name.
func (s *SQL) each(do func(name string, text *string, needs, may string, required bool)) {
	for i := range s.Schema {
		do("Schema", &s.Schema[i], "", "", true)
	}
	do("Insert", &s.Insert, "nonce used_at"+row, "", true)
	do("Consume", &s.Consume, "nonce now {fresh}", rule, true)
	do("Verdict", &s.Verdict, "nonce {fresh}", rule, true)
	do("Sweep", &s.Sweep, "now limit", "", true)
	do("SweepLag", &s.SweepLag, "now", "", true)
	do("SweepView", &s.SweepView, "now limit", "", false)
	do("InsertAsync", &s.InsertAsync, "nonce"+row, "", false)
	do("Rotate", &s.Rotate, "nonce now next"+row, rule, false)
	if s.Foreign != nil {
		do("Foreign.Consume", &s.Foreign.Consume, "nonce now", rule, true)
		do("Foreign.Verdict", &s.Foreign.Verdict, "nonce", rule, true)
	}
	if s.Shared == nil {
		return
	}
	issue, accept, others := "rows", "rows", "nexts"
	if s.Shared.Single != nil {
		issue, accept, others = "ids nexts issued_at expires_at", "ids nexts issued expires now", ""
	}
	do("Shared.Issue", &s.Shared.Issue, issue, others, true)
	do("Shared.Accept", &s.Shared.Accept, accept, others, true)
	do("Shared.Verdicts", &s.Shared.Verdicts, "nonces", rule, true)
	if single := s.Shared.Single; single != nil {
		do("Shared.Single.Consume", &single.Consume, "nonces now", rule, true)
		do("Shared.Single.Rotate", &single.Rotate, "nonces now "+issue, rule, true)
	}
	if steps := s.Shared.Steps; steps != nil {
		lock := "nonces"
		if steps.Consume == "" {
			lock += " now"
		}
		do("Shared.Steps.Lock", &steps.Lock, lock, rule, true)
		do("Shared.Steps.Consume", &steps.Consume, "locked now", rule, false)
	}
}

// Texts returns all statements but those of the schema.
func (s SQL) Texts() (texts []string) {
	s.each(func(name string, text *string, _, _ string, _ bool) {
		if name != "Schema" && *text != "" {
			texts = append(texts, *text)
		}
	})
	return texts
}

var (
	gap   = regexp.MustCompile(`\{\w+\}`)
	value = regexp.MustCompile(`@@?\w+`)
	blank = regexp.MustCompile(`\s+`)
)

// Statements returns the SQL of d on table t, each statement on one line. A
// statement that is missing, leaves out what it must name, names something
// unknown, or has what would be read as something else, is an error.
func Statements(d Dialect, t Table) (SQL, error) {
	s := d.SQL().clone()
	var fault error
	check := func(name string, err error) {
		if err != nil && fault == nil {
			fault = fmt.Errorf("dialect %s: SQL.%s: %w", d.Name(), name, err)
		}
	}
	if len(s.Schema) == 0 {
		check("Schema", errMissing)
	}
	if s.Shared != nil && (s.Shared.Single == nil) == (s.Shared.Steps == nil) {
		check("Shared", errors.New("want one of Single and Steps"))
	}
	names := t.names(s.Quote)
	check("Fresh", fill(&s.Fresh, names))
	if s.Fresh != "" {
		names["{fresh}"] = s.Fresh
	}
	s.each(func(name string, text *string, needs, may string, required bool) {
		check(name, fill(text, names))
		if required || *text != "" {
			check(name, named(*text, names["{fresh}"], needs, may))
		}
	})
	return s, fault
}

var errMissing = errors.New("no statement")

// clone returns a copy that shares nothing with s, which may be every caller's.
func (s SQL) clone() SQL {
	s.Schema = append([]string(nil), s.Schema...)
	s.Foreign, s.Shared = copied(s.Foreign), copied(s.Shared)
	if s.Shared != nil {
		s.Shared.Single, s.Shared.Steps = copied(s.Shared.Single), copied(s.Shared.Steps)
	}
	return s
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	clone := *p
	return &clone
}

// fill puts text on one line and writes names into its gaps. It refuses what
// begins a comment, which would not end, and other signs with a meaning.
func fill(text *string, names map[string]string) (err error) {
	line := strings.TrimSpace(blank.ReplaceAllString(*text, " "))
	for _, sign := range []string{"--", "#", "?"} {
		if strings.Contains(line, sign) && (sign != "#" || names["{name}"][0] == '`') {
			return fmt.Errorf("a %s in the statement", sign)
		}
	}
	*text = gap.ReplaceAllStringFunc(line, func(g string) string {
		name, ok := names[g]
		if !ok && err == nil {
			err = fmt.Errorf("unknown name %s", g)
		}
		return name
	})
	if strings.ContainsAny(*text, "{}") && err == nil {
		err = errors.New("a brace outside of a gap")
	}
	return err
}

// named checks that a statement names all that it needs, and nothing that it may
// not.
func named(text, fresh, needs, may string) error {
	if text == "" {
		return errMissing
	}
	values := value.FindAllString(text, -1)
	has := func(name string) bool { return slices.Contains(values, "@"+name) }
	for _, need := range strings.Fields(needs) {
		switch {
		case need != "{fresh}" && !has(need):
			return fmt.Errorf("no @%s in the statement", need)
		case need != "{fresh}", strings.Contains(text, fresh):
		case !has("next_second") || !has("oldest") || !has("too_new"): // nor in words of its own
			return errors.New("no {fresh} in the statement")
		}
	}
	for _, v := range values {
		if !strings.HasPrefix(v, "@@") && !strings.Contains(" inside "+needs+" "+may+" ", " "+v[1:]+" ") {
			return fmt.Errorf("unknown value %s", v)
		}
	}
	return nil
}
