package session

import "strings"

// A list is written with one of a few sizes, each of which is prepared: its last
// value is repeated, which IN allows.
const leastInList, mostInList = 8, 256

func filled(list []string) []string {
	size := leastInList
	for size < len(list) {
		size *= 2
	}
	if len(list) == 0 || size > mostInList {
		return list
	}
	full := append(make([]string, 0, size), list...)
	for len(full) < size {
		full = append(full, list[len(list)-1])
	}
	return full
}

// withLists returns the text that GORM makes of a statement.
func (s statement) withLists(size int) string {
	list := "(?" + strings.Repeat(",?", size-1) + ")"
	var text strings.Builder
	for i, part := range s.texts {
		text.WriteString(part)
		switch {
		case i == len(s.names):
		case isList(part):
			text.WriteString(list)
		default:
			text.WriteByte('?')
		}
	}
	return text.String()
}

// isList reports whether a list follows on text.
func isList(text string) bool { return strings.HasSuffix(text, " IN ") }
