package session

import (
	"fmt"
	"regexp"

	"gorm.io/gorm/clause"
)

// Values are what a statement binds, by the names that it gives them.
type Values map[string]any

// Rows is a value for an INSERT ... VALUES of many rows.
type Rows [][]any

// A statement is SQL, cut at its named values: text, name, text, and so on.
type statement struct {
	texts []string // one more than names
	names []string
}

var valueName = regexp.MustCompile(`@\w+`)

func parse(sql string) statement {
	s := statement{texts: valueName.Split(sql, -1)}
	for _, name := range valueName.FindAllString(sql, -1) {
		s.names = append(s.names, name[1:])
	}
	return s
}

// bind returns s with its values, in order.
func (s statement) bind(values Values) (bound, error) {
	b := bound{texts: s.texts, values: make([]any, len(s.names))}
	for i, name := range s.names {
		v, ok := values[name]
		if !ok {
			return b, fmt.Errorf("no value for @%s", name)
		}
		b.values[i] = v
	}
	return b, nil
}

// bound is a statement with its values. GORM takes it for the one ? of "?",
// which spares it the search for others in every statement.
type bound struct {
	texts  []string
	values []any
}

// Build implements clause.Expression.
func (b bound) Build(to clause.Builder) {
	for i, text := range b.texts {
		if i > 0 {
			add(to, b.values[i-1])
		}
		_, _ = to.WriteString(text) // into memory
	}
}

// add writes one value. GORM would put the rows of an INSERT between one more
// pair of parentheses.
func add(to clause.Builder, value any) {
	rows, ok := value.(Rows)
	if !ok {
		to.AddVar(to, value)
		return
	}
	for i, row := range rows {
		if i > 0 {
			_ = to.WriteByte(',')
		}
		to.AddVar(to, row)
	}
}
