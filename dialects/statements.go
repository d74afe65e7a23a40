package dialects

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// fresh is the rule of time, as SQL documents it.
const fresh = `expires_at >= @next_second AND issued_at >= @oldest AND issued_at < @too_new`

// What the statements may name.
const (
	rule = "now next_second oldest too_new"
	row  = " id issued_at expires_at "
)

// each calls do for every statement, with its name and the values that it may
// name.
func (s *SQL) each(do func(name string, text *string, values string, required bool)) {
	for i := range s.Schema {
		do("Schema", &s.Schema[i], "", true)
	}
	do("Insert", &s.Insert, "nonce used_at"+row, true)
	do("Consume", &s.Consume, "nonce "+rule, true)
	do("Verdict", &s.Verdict, "nonce "+rule, true)
	do("Sweep", &s.Sweep, "now limit", true)
	do("SweepLag", &s.SweepLag, "now", true)
	do("SweepView", &s.SweepView, "now limit", false)
	do("InsertAsync", &s.InsertAsync, "nonce"+row, false)
	do("Rotate", &s.Rotate, "nonce next"+row+rule, false)
	if s.Foreign != nil {
		do("Foreign.Consume", &s.Foreign.Consume, "nonce "+rule, true)
		do("Foreign.Verdict", &s.Foreign.Verdict, "nonce "+rule, true)
	}
	if s.Shared == nil {
		return
	}
	do("Shared.Issue", &s.Shared.Issue, "rows ids nexts"+row, true)
	do("Shared.Accept", &s.Shared.Accept, "rows ids nexts issued expires now", true)
	do("Shared.Verdicts", &s.Shared.Verdicts, "nonces "+rule, true)
	if single := s.Shared.Single; single != nil {
		do("Shared.Single.Consume", &single.Consume, "nonces "+rule, true)
		do("Shared.Single.Rotate", &single.Rotate, "nonces ids nexts"+row+rule, true)
	}
	if steps := s.Shared.Steps; steps != nil {
		do("Shared.Steps.Lock", &steps.Lock, "nonces "+rule, true)
		do("Shared.Steps.Consume", &steps.Consume, "locked "+rule, false)
	}
}

// Texts returns all statements but those of the schema.
func (s SQL) Texts() (texts []string) {
	s.each(func(name string, text *string, _ string, _ bool) {
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
// statement that is missing or names something unknown is an error.
func Statements(d Dialect, t Table) (SQL, error) {
	s := d.SQL().clone()
	names := t.names(s.Quote)
	if s.Fresh != "" {
		names["{fresh}"] = blank.ReplaceAllString(s.Fresh, " ")
	}
	var fault error
	s.each(func(name string, text *string, values string, required bool) {
		if err := fill(text, names, values, required); err != nil && fault == nil {
			fault = fmt.Errorf("dialect %s: SQL.%s: %w", d.Name(), name, err)
		}
	})
	if fault == nil && s.Shared != nil && (s.Shared.Single == nil) == (s.Shared.Steps == nil) {
		fault = fmt.Errorf("dialect %s: SQL.Shared: want one of Single and Steps", d.Name())
	}
	return s, fault
}

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

// fill writes names into the gaps of text and checks what it names.
func fill(text *string, names map[string]string, values string, required bool) (err error) {
	filled := strings.TrimSpace(blank.ReplaceAllString(*text, " "))
	if filled == "" && required {
		return fmt.Errorf("no statement")
	}
	*text = gap.ReplaceAllStringFunc(filled, func(g string) string {
		name, ok := names[g]
		if !ok && err == nil {
			err = fmt.Errorf("unknown name %s", g)
		}
		return name
	})
	if strings.Contains(*text, "?") && err == nil {
		err = errors.New("a ? in the statement")
	}
	for _, v := range value.FindAllString(*text, -1) {
		if !strings.HasPrefix(v, "@@") && !strings.Contains(" inside "+values+" ", " "+v[1:]+" ") && err == nil {
			err = fmt.Errorf("unknown value %s", v)
		}
	}
	return err
}
