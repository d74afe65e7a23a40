package dpopnonce

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// TestPrintedRepositoryShowsNoNonce prints a repository while a call waits for its
// statement, and another one for its turn.
func TestPrintedRepositoryShowsNoNonce(t *testing.T) {
	const nonce = "sEcReT-nOnCe"
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	sealer := newSealerAt(t, "printed", NewKey())
	waiting, release := make(chan struct{}, 1), make(chan struct{})
	r, err := NewRepository(db, WithGroupCommit(), WithOpener(sealer.Sealer), WithTable("auth.printed_nonces"))
	if err != nil {
		t.Fatal(err)
	}
	alone := func(*call) error {
		waiting <- struct{}{}
		<-release
		return nil
	}
	done := make(chan error)
	for i := 0; i < 2; i++ {
		c, err := r.newCall(context.Background(), &observation{}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		c.nonce = nonce
		go func() { done <- r.queues.consume.Do(c, alone) }()
	}
	<-waiting
	defer func() { close(release); <-done; <-done }()

	var missing *Repository
	if text := fmt.Sprintf("%v %s", missing, missing); text != "<nil> <nil>" {
		t.Errorf("nil is %s", text)
	}
	const own = "dpopnonce.Repository(auth.printed_nonces)"
	type held struct{ R *Repository }
	type kept struct{ r *Repository }
	for name, v := range map[string]any{
		"repository": r, "struct": held{r}, "pointer to struct": &held{r}, "unexported": kept{r}, "map": map[string]*Repository{"r": r},
		"slice": []*Repository{r}, "any": []any{r}, "embedded": struct{ *Repository }{r},
	} {
		texts := map[string]string{"Println": fmt.Sprintln(v)}
		for _, verb := range "vsqxXdtcUeEfgGobOwz" {
			for _, flags := range []string{"", "+", "#", " ", "-08"} {
				format := "%" + flags + string(verb)
				texts[format] = fmt.Sprintf(format, v)
			}
		}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("text", "value", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("text", "value", v)
		if err := template.Must(template.New("").Parse("{{.}} {{printf `%s` .}}")).Execute(&b, v); err != nil {
			t.Error(err)
		}
		texts["logs and templates"] = b.String()
		for how, text := range texts {
			if lower := strings.ToLower(text); strings.Contains(lower, strings.ToLower(nonce)) || strings.Contains(lower, hex.EncodeToString([]byte(nonce))) {
				t.Errorf("%s by %s: %s", name, how, text)
			}
			if how == "logs and templates" || strings.HasSuffix(how, "w") { // fmt calls no method for %w
				continue
			}
			if name == "repository" && strings.TrimSpace(text) != own {
				t.Errorf("by %s it is %s", how, text)
			}
		}
	}
}
