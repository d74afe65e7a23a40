package session

import (
	"context"
	"fmt"
	"testing"
)

func TestTextIsWithoutSecrets(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		secrets          []string
	}{
		{"no secret", "connection refused", "connection refused", []string{"secret-nonce"}},
		{"whole", `invalid input for uuid: "secret-nonce"`, `invalid input for uuid: "[hidden]"`, []string{"secret-nonce"}},
		{"twice", "secret-nonce, secret-nonce", "[hidden], [hidden]", []string{"secret-nonce"}},
		{"the beginning", "near 'secret-n' at line 1", "near '[hidden]' at line 1", []string{"secret-nonce"}},
		{"the end", "...t-nonce is wrong", "...[hidden] is wrong", []string{"secret-nonce"}},
		{"a quotation mark in two", "'secret''nonce-2'", "'[hidden]'", []string{"secret'nonce-2"}},
		{"a list", `{"first-nonce","second-nonce"}`, `{"[hidden]","[hidden]"}`, []string{"second-nonce", "first-nonce"}},
		{"short, by itself", `"abc" is no number`, `"[hidden]" is no number`, []string{"abc"}},
		{"short, in words", "an abcess in ab", "an abcess in ab", []string{"abc", "n"}},
		{"in capitals", "NO SECRET-NONCE, Ü", "NO [hidden], Ü", []string{"Secret-nonce"}},
		{"empty", "text", "text", []string{""}},
		{"no text", "", "", []string{"secret-nonce"}},
	} {
		if got := without(c.text, c.secrets); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestContextPrintsNoValue(t *testing.T) {
	b := &bound{Context: context.Background(), values: []any{"secret-nonce"}}
	for _, ctx := range []context.Context{b, context.WithValue(b, boundKey{}, 1)} {
		if text := fmt.Sprintf("%v %+v", ctx, ctx); without(text, []string{"secret-nonce"}) != text {
			t.Error(text)
		}
	}
}
