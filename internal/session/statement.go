package session

import (
	"context"
	"fmt"
	"regexp"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Values are what a statement binds: the name that it gives a value, the value,
// and so on. A []string is a list.
type Values []any

// get returns the value of a name.
func (v Values) get(name string) (any, error) {
	for i := 0; i < len(v); i += 2 {
		if v[i] == name {
			return v[i+1], nil
		}
	}
	return nil, fmt.Errorf("no value for @%s", name)
}

// Rows is a value for an INSERT of many rows.
type Rows [][]any

// A statement is SQL, cut at its named values: text, name, text, and so on.
type statement struct {
	texts []string // one more than names
	names []string
	lists bool // it has some that are written as IN expects them
}

// valueName also matches @@name, a variable of the database, which stays text.
var valueName = regexp.MustCompile(`@@?\w+`)

func parse(sql string) (s statement) {
	begin := 0
	for _, at := range valueName.FindAllStringIndex(sql, -1) {
		if name := sql[at[0]:at[1]]; name[1] != '@' {
			s.texts = append(s.texts, sql[begin:at[0]])
			s.lists = s.lists || isList(sql[begin:at[0]])
			s.names = append(s.names, name[1:])
			begin = at[1]
		}
	}
	s.texts = append(s.texts, sql[begin:])
	return s
}

// bind returns a statement with its values, in order.
func (c Conn) bind(sql string, values Values) (*bound, error) {
	st, ok := c.session.statements[sql]
	if !ok {
		return nil, fmt.Errorf("unknown statement %q", sql)
	}
	b := &bound{Context: c.ctx, session: c.session, named: values, texts: st.texts, values: make([]any, len(st.names))}
	for i, name := range st.names {
		if name == "inside" {
			b.values[i] = c.InTransaction()
			continue
		}
		v, err := values.get(name)
		if err != nil {
			return nil, err
		}
		switch value := v.(type) {
		case []string:
			if c.session.list != nil {
				v = c.session.list(value)
			} else {
				v = filled(value)
			}
		case Rows:
			if c.session.rows != nil {
				v = c.session.rows(value)
			}
		}
		b.values[i] = v
	}
	return b, nil
}

// bound is a statement with its values. GORM takes it for the one ? of "?",
// which spares it the search for others in every statement. It is the context of
// the statement as well, which spares an allocation.
type bound struct {
	context.Context
	session *Session
	named   Values
	texts   []string
	values  []any
}

// Build implements clause.Expression.
func (b *bound) Build(to clause.Builder) {
	if statement, is := to.(*gorm.Statement); is { // at once, in place of step by step
		length := 0
		for _, text := range b.texts {
			length += len(text) + len("$99")
		}
		statement.SQL.Grow(length)
	}
	for i, text := range b.texts {
		if i > 0 {
			add(to, b.values[i-1:i])
		}
		_, _ = to.WriteString(text) // into memory
	}
}

// add writes one value, in the slice that it is in: a new one would be allocated.
func add(to clause.Builder, value []any) {
	rows, ok := value[0].(Rows)
	if !ok {
		to.AddVar(to, value...)
		return
	}
	for i, row := range rows {
		if i > 0 {
			_ = to.WriteByte(',')
		}
		to.AddVar(to, row) // between parentheses
	}
}
