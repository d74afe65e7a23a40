package session

import (
	"fmt"
	"strings"
)

// hiddenError is an error whose text had secrets. Unwrap returns the one with
// the whole text, so that errors.As finds the driver's own.
type hiddenError struct {
	text string
	err  error
}

func (e *hiddenError) Error() string { return e.text }
func (e *hiddenError) Unwrap() error { return e.err }

// hide returns err without the secrets of the statement in its text: drivers
// print values whole, in lists, or cut.
func (b *bound) hide(err error) error {
	if err == nil {
		return nil
	}
	if safe := without(err.Error(), b.secrets()); safe != err.Error() {
		return &hiddenError{safe, err}
	}
	return err
}

// hidePanic is deferred, and does the same for what a callback panics with.
func (b *bound) hidePanic() {
	p := recover()
	if p == nil {
		return
	}
	err, ok := p.(error)
	if !ok {
		err = fmt.Errorf("%v", p)
	}
	if hidden, ok := b.hide(err).(*hiddenError); ok {
		p = hidden
	}
	panic(p)
}

// secrets returns what no error and no log may show.
func (b *bound) secrets() (all []string) {
	for _, name := range b.session.secrets {
		switch v, _ := b.named.get(name); v := v.(type) {
		case string:
			all = append(all, v)
		case []string:
			all = append(all, v...)
		}
	}
	return all
}

// part is how many characters of a secret, from anywhere in it, are too many.
const part = 6

// without returns text without secrets and parts of them, in any case of letters.
// One that is shorter than a part is hidden where it stands by itself.
func without(text string, secrets []string) string {
	isSecret, lower := make([]bool, len(text)), lowerCase(text)
	for _, secret := range secrets {
		n, secret := min(part, len(secret)), lowerCase(secret)
		for i := 0; n > 0 && i+n <= len(text); i++ {
			if !strings.Contains(secret, lower[i:i+n]) || n < part && (isWord(text, i-1) || isWord(text, i+n)) {
				continue
			}
			for j := i; j < i+n; j++ {
				isSecret[j] = true
			}
		}
	}
	var safe strings.Builder
	for i := range isSecret {
		if !isSecret[i] {
			safe.WriteByte(text[i])
		} else if i == 0 || !isSecret[i-1] {
			safe.WriteString("[hidden]")
		}
	}
	return safe.String()
}

// lowerCase changes ASCII letters only, so that all bytes stay where they are.
func lowerCase(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// isWord reports whether text has a letter or a digit at i.
func isWord(text string, i int) bool {
	if i < 0 || i >= len(text) {
		return false
	}
	c := text[i]
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

type boundKey struct{}

// Value implements context.Context, and leads the logger to the statement.
func (b *bound) Value(key any) any {
	if key == (boundKey{}) {
		return b
	}
	return b.Context.Value(key)
}

// String keeps the values from what prints a context.
func (*bound) String() string { return "the context of a statement" }
