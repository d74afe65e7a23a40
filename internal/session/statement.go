package session

import (
	"fmt"
	"regexp"

	"gorm.io/gorm/clause"
)

// Values are what a statement binds, by the names that it gives them. A []string
// is a list.
type Values map[string]any

// Rows is a value for an INSERT ... VALUES of many rows, by columns: a list has a
// value for each row, and the first column is one; other values are all rows'.
type Rows []any

// A statement is SQL, cut at its named values: text, name, text, and so on.
type statement struct {
	texts []string // one more than names
	names []string
}

// valueName also matches @@name, a variable of the database, which stays text.
var valueName = regexp.MustCompile(`@@?\w+`)

func parse(sql string) (s statement) {
	begin := 0
	for _, at := range valueName.FindAllStringIndex(sql, -1) {
		if name := sql[at[0]:at[1]]; name[1] != '@' {
			s.texts = append(s.texts, sql[begin:at[0]])
			s.names = append(s.names, name[1:])
			begin = at[1]
		}
	}
	s.texts = append(s.texts, sql[begin:])
	return s
}

// bind returns a statement with its values, in order.
func (c Conn) bind(sql string, values Values) (bound, error) {
	st, ok := c.session.statements[sql]
	if !ok {
		return bound{}, fmt.Errorf("unknown statement %q", sql)
	}
	b := bound{texts: st.texts, values: make([]any, len(st.names))}
	for i, name := range st.names {
		v, ok := values[name]
		if name == "inside" {
			v, ok = c.InTransaction(), true
		}
		if !ok {
			return b, fmt.Errorf("no value for @%s", name)
		}
		if list, ok := v.([]string); ok && c.session.list != nil {
			v = c.session.list(list)
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

// add writes one value.
func add(to clause.Builder, value any) {
	columns, ok := value.(Rows)
	if !ok {
		to.AddVar(to, value)
		return
	}
	for i := range columns[0].([]string) {
		if i > 0 {
			_ = to.WriteByte(',')
		}
		row := make([]any, len(columns))
		for j, column := range columns {
			row[j] = column
			if list, ok := column.([]string); ok {
				row[j] = list[i]
			}
		}
		to.AddVar(to, row) // between parentheses
	}
}
