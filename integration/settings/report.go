package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const head = `# Settings

What a session, a server or a table can have set, and what the library does there: ` + "`make settings`" + ` tries it and writes this file.
[databases.md](databases.md#settings) has the verdicts in short.

One pool has the setting, and another has the defaults. Through the first, every call is made: alone, in transactions, and at once by 20 and by 40
callers; plain, with group commit, with sealed nonces, and with both. The second has to see each acceptance at once, and when the first is closed.
Values are tried with prepared statements and without: in both ways where text may come out another, elsewhere in turn.

*Works* is the right outcome everywhere. An *error* is no verdict on a nonce, and stands behind the calls that it meets. *Wrong* is a false verdict, or none in time.
`

// unset is the verdict on a value that the server refuses.
const unset = "cannot be set"

// verdict returns what was found, in short.
func (f finding) verdict() string {
	switch {
	case errors.As(f.err, &refused{}):
		return unset
	case f.err != nil:
		return "error: " + plainText(f.err.Error())
	case len(f.wrong) > 0:
		return "**wrong**: " + plainText(strings.Join(f.wrong[:min(3, len(f.wrong))], "; "))
	case len(f.failed) > 0:
		return "error: " + causes(f.failed)
	}
	return "works"
}

// A step that failed, as trial.expect notes it.
var failure = regexp.MustCompile(`(?:^|: )(migrate|issue|insert|check|consume|rotate|spend|sweep): (.*)`)

// causes returns the first errors of steps, each behind the calls that met it.
func causes(steps []string) string {
	var texts []string
	calls := map[string]map[string]bool{}
	for _, step := range steps {
		call, text := "", plainText(step)
		if m := failure.FindStringSubmatch(text); m != nil {
			call, text = strings.ToUpper(m[1][:1])+m[1][1:], m[2]
		}
		if calls[text] == nil {
			texts = append(texts, text)
			calls[text] = map[string]bool{}
		}
		calls[text][call] = true
	}
	for i, text := range texts {
		texts[i] = strings.Join(slices.Sorted(maps.Keys(calls[text])), ", ") + ": " + text
	}
	if more := len(texts) - 2; more > 0 {
		texts = append(texts[:2:2], fmt.Sprint(more, " more"))
	}
	return strings.Join(texts, "; ")
}

// What differs from one run to the next, and what a table of markdown cannot have.
var changing = regexp.MustCompile("`?[\\w.]*`?\\.?`?settings_\\d+_\\d+`?|127\\.0\\.0\\.1:\\d+ \\(127\\.0\\.0\\.1\\): ")

func plainText(s string) string {
	s = changing.ReplaceAllString(s, "…")
	return strings.NewReplacer("sealed, group commit: ", "", "group commit: ", "", "sealed: ", "", "|", "\\|", "\n", " ").Replace(s)
}

// A row is a kind of setting and its values, by verdict.
type row struct {
	kind     string
	verdicts []string            // in order
	values   map[string][]string // of each verdict
}

// rows groups findings. A value names its mode where another mode has another
// verdict.
func rows(found []finding) (all []*row) {
	byKind, byValue := map[string]*row{}, map[string]string{}
	mixed := map[string]bool{}
	for _, f := range found {
		key, v := f.kind+"="+f.value, f.verdict()
		mixed[key] = mixed[key] || byValue[key] != "" && byValue[key] != v
		byValue[key] = v
	}
	for _, f := range found {
		r := byKind[f.kind]
		if r == nil {
			r = &row{kind: f.kind, values: map[string][]string{}}
			byKind[f.kind] = r
			all = append(all, r)
		}
		v, value := f.verdict(), f.value
		if quoted := strings.Trim(value, "'"); value == "'"+quoted+"'" && quoted != "" {
			value = quoted
		}
		if mixed[f.kind+"="+f.value] {
			value = strings.TrimSpace(value + " " + f.mode)
		}
		if r.values[v] == nil {
			r.verdicts = append(r.verdicts, v)
		}
		if !slices.Contains(r.values[v], value) {
			r.values[v] = append(r.values[v], value)
		}
	}
	return all
}

// write writes a section: what does not work everywhere in a table, and the rest
// in a list.
func write(w io.Writer, s section, found []finding) {
	fmt.Fprintf(w, "\n## %s\n", s.title)
	if s.about != "" {
		fmt.Fprintf(w, "\n%s\n", s.about)
	}
	var works []*row
	var fixed []string
	all := rows(found)
	fmt.Fprintf(w, "\n%d trials of %d settings.\n", len(found), len(all))
	head := "\n| setting | values | verdict |\n|---|---|---|\n"
	for _, r := range all {
		if len(r.verdicts) == 1 && r.verdicts[0] == "works" {
			works = append(works, r)
			continue
		}
		if len(r.verdicts) == 1 && r.verdicts[0] == unset {
			fixed = append(fixed, r.kind)
			continue
		}
		for _, v := range r.verdicts {
			fmt.Fprintf(w, "%s| %s | %s | %s |\n", head, code(r.kind), code(r.values[v]...), v)
			head = ""
		}
	}
	if len(fixed) > 0 {
		fmt.Fprintf(w, "\nThe server refuses the values of %s.\n", code(fixed...))
	}
	if len(works) > 0 {
		fmt.Fprint(w, "\nWorks with every value:\n\n")
	}
	for _, r := range works {
		fmt.Fprintf(w, "- %s", code(r.kind))
		if values := code(r.values["works"]...); values != "" {
			fmt.Fprintf(w, ": %s", values)
		}
		fmt.Fprintln(w)
	}
}

func code(texts ...string) string {
	var quoted []string
	for _, text := range texts {
		if text != "" {
			quoted = append(quoted, "`"+strings.ReplaceAll(text, "|", "\\|")+"`")
		}
	}
	return strings.Join(quoted, ", ")
}
