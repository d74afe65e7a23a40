package dpopnonce

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/attesto/dpopnonce/internal/seal"
)

// secretBytes returns the 32 bytes from first on.
func secretBytes(first byte) []byte {
	secret := make([]byte, seal.SecretSize)
	for i := range secret {
		secret[i] = first + byte(i)
	}
	return secret
}

func parsedKey(t testing.TB, text string) Key {
	t.Helper()
	k, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestKeysAreNeverPrinted prints everything that holds a key, then gives the key
// another secret in the same place and prints again: addresses are the same, and
// whatever else differs, apart from the id, would tell something of the secret.
func TestKeysAreNeverPrinted(t *testing.T) {
	var k Key
	pointer := &k
	s, err := NewSealer(SealerConfig{Purpose: "printed", Keys: []Key{NewKey()}})
	if err != nil {
		t.Fatal(err)
	}
	print := func(first byte) map[string]string {
		k = parsedKey(t, base64.StdEncoding.EncodeToString(secretBytes(first)))
		*s.keys.Load() = []seal.Key{k.seal}
		texts := map[string]string{}
		_, twice := NewSealer(SealerConfig{Purpose: "twice", Keys: []Key{k, k}})
		texts["error"] = strings.ReplaceAll(twice.Error(), k.String(), "<id>")
		for name, holder := range holders(pointer, &pointer, s) {
			for how, text := range printed(holder, k.String()) {
				texts[name+" by "+how] = text
			}
		}
		return texts
	}
	before := print(1)
	id := k.String()
	after := print(101)
	if len(id) > 16 || id == k.String() {
		t.Fatalf("ids %s and %s", id, k)
	}
	for how, text := range before {
		if after[how] != text {
			t.Errorf("%s: %q, and with another secret %q", how, text, after[how])
		}
	}
	for _, how := range []string{"key by %v", "key by %s", "pointer by %v", "slice by %v", "fields by json", "error", "key by slog text", "key by slog JSON"} {
		if !strings.Contains(after[how], "<id>") {
			t.Errorf("%s shows no id: %q", how, after[how])
		}
	}
}

// holders returns what holds the key *k.
func holders(k *Key, pointer **Key, s *Sealer) map[string]any {
	type hidden struct {
		name string
		key  Key
		at   *Key
		keys []Key
		any  any
	}
	type shown struct {
		Key  Key
		At   *Key
		Keys map[string]Key
	}
	in := hidden{"name", *k, k, []Key{*k}, *k}
	out := shown{*k, k, map[string]Key{"name": *k}}
	config := SealerConfig{Purpose: "printed", Keys: []Key{*k}}
	return map[string]any{
		"key": *k, "pointer": k, "pointer to pointer": pointer,
		"slice": []Key{*k}, "array": [1]Key{*k}, "pointers": []*Key{k}, "map": map[string]Key{"name": *k}, "any": []any{*k, k},
		"unexported fields": in, "pointer to unexported fields": &in, "fields": out, "pointer to fields": &out,
		"embedded": struct{ Key }{*k}, "inside": k.seal,
		"config": config, "pointer to config": &config,
		"sealer": s, "held sealer": struct{ s *Sealer }{s}, "sealers": []*Sealer{s}, "keys of a sealer": &s.keys,
	}
}

// printed returns what every verb and every log shows of v, with <id> for id.
func printed(v any, id string) map[string]string {
	texts := map[string]string{}
	for _, verb := range "vsqdtxXoObcUeEfFgGpTwz" {
		for _, flags := range []string{"", "+", "#", " ", "# ", "-+#", "080", ".5"} {
			if verb == 'p' && reflect.TypeOf(v).Kind() != reflect.Struct {
				continue // the address of v, which is another one each time
			}
			format := "%" + flags + string(verb)
			texts[format] = strings.ReplaceAll(fmt.Sprintf(format, v), fmt.Sprintf(format, id), "<id>")
		}
	}
	object, err := json.Marshal(v)
	texts["json"] = fmt.Sprint(string(object), err)
	texts["print"] = fmt.Sprint(v, v)
	log := func(h func(*bytes.Buffer) slog.Handler) string {
		var b bytes.Buffer
		slog.New(h(&b)).With("with", v).Info("text", "value", v, slog.Group("group", "inner", v), slog.Time(slog.TimeKey, noon))
		_, line, _ := strings.Cut(b.String(), "level") // what is before it is the time
		return line
	}
	texts["slog text"] = log(func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) })
	texts["slog JSON"] = log(func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) })
	for _, how := range []string{"json", "print", "slog text", "slog JSON"} {
		texts[how] = strings.ReplaceAll(texts[how], id, "<id>")
	}
	return texts
}

func TestKeyIDsFollowTheSecret(t *testing.T) {
	text := base64.StdEncoding.EncodeToString(secretBytes(1))
	if a, b := parsedKey(t, text), parsedKey(t, text); a.String() != b.String() {
		t.Errorf("%v and %v of one secret", a, b)
	}
	if a, b := NewKey(), NewKey(); a.String() == b.String() {
		t.Errorf("%v of two secrets", a)
	}
	if zero := (Key{}).String(); zero != "no key" {
		t.Errorf("%q of the zero Key", zero)
	}
}

func TestParseKeyTakes32BytesOfBase64(t *testing.T) {
	secret := bytes.Repeat([]byte{0xfb, 0xff, 0xbf, 0x01}, 8) // all four special characters
	std, url := base64.StdEncoding.EncodeToString(secret), base64.URLEncoding.EncodeToString(secret)
	if !strings.Contains(std, "+") || !strings.Contains(std, "/") {
		t.Fatal(std)
	}
	want := parsedKey(t, std)
	for _, text := range []string{std[:43], url, url[:43]} {
		if got := parsedKey(t, text); !got.seal.Equal(want.seal) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
	spare := []byte(std)
	spare[42]++ // two of its bits are in no byte
	refused := []string{
		"", " ", "=", std[:42], std[:43] + "==", std + "=", "=" + std[:43], std + std, std[1:], std[:43] + "A",
		std + "\n", std[:43] + "\n", "\n" + std, std[:20] + "\r\n" + std[20:], std[:20] + "\n" + std[20:43], std + " ", " " + std, std + "\x00",
		string(spare), string(spare[:43]), std[:22] + url[22:], "\"" + std + "\"", fmt.Sprintf("%x", secret), string(secret),
		base64.StdEncoding.EncodeToString(secret[:31]), base64.StdEncoding.EncodeToString(append(secret, 1)), std[:42] + "\u00e9",
	}
	for _, text := range refused {
		k, err := ParseKey(text)
		if err == nil || k.seal != nil {
			t.Errorf("%q is %v", text, k)
		} else if err.Error() != "dpopnonce: parse key: not 32 bytes of base64" {
			t.Errorf("%q: %v", text, err)
		}
	}
}
