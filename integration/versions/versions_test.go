// Package versions tests how the library changes the build of an application.
package versions

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// lowest are the versions that the library requires.
var lowest = map[string]string{
	"github.com/google/uuid":  "v1.6.0",
	"gorm.io/driver/postgres": "v1.6.0",
	"gorm.io/driver/sqlite":   "v1.5.5",
	"gorm.io/gorm":            "v1.25.10",
}

func TestModuleRequiresLowestVersions(t *testing.T) {
	var mod struct {
		Go      string
		Require []struct {
			Path, Version string
			Indirect      bool
		}
	}
	if err := json.Unmarshal([]byte(run(t, "../..", "go", "mod", "edit", "-json")), &mod); err != nil {
		t.Fatal(err)
	}
	if mod.Go != "1.21" {
		t.Errorf("go %s", mod.Go)
	}
	direct := 0
	for _, m := range mod.Require {
		if m.Indirect {
			continue
		}
		direct++
		if lowest[m.Path] != m.Version {
			t.Errorf("%s %s, want %q", m.Path, m.Version, lowest[m.Path])
		}
	}
	if direct != len(lowest) {
		t.Errorf("%d direct requirements, want %d", direct, len(lowest))
	}
}

func TestApplicationKeepsVersionsAndDriver(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	app := t.TempDir()
	write(t, app, "main.go", `package main

import (
	"log"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

func main() {
	db, err := gorm.Open(postgres.Open(""), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := dpopnonce.NewRepository(db); err != nil {
		log.Fatal(err)
	}
}
`)
	write(t, app, "go.mod", `module example.com/app

go 1.21

require (
	github.com/attesto/dpopnonce v0.0.0
	gorm.io/driver/postgres `+lowest["gorm.io/driver/postgres"]+`
	gorm.io/gorm `+lowest["gorm.io/gorm"]+`
)

replace github.com/attesto/dpopnonce => `+root+`
`)
	run(t, app, "go", "mod", "tidy")
	for path, want := range lowest {
		if path == "gorm.io/driver/sqlite" {
			continue // only the library's tests use it
		}
		if got := strings.TrimSpace(run(t, app, "go", "list", "-m", "-f", "{{.Version}}", path)); got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
	run(t, app, "go", "build", "./...")
	postgres := false
	for _, pkg := range strings.Fields(run(t, app, "go", "list", "-deps", "./...")) {
		postgres = postgres || pkg == "gorm.io/driver/postgres"
		if module, _, _ := strings.Cut(pkg, "/"); strings.Contains(module, ".") && !linked.MatchString(pkg) || pkg == "testing" {
			t.Errorf("links %s", pkg)
		}
	}
	if !postgres {
		t.Error("does not link its own driver: the list is incomplete")
	}
}

// linked matches what the application imports, and the dependencies of that.
var linked = regexp.MustCompile(`^(example\.com/app|github\.com/attesto/dpopnonce(/dialects|/internal/\w+)?$|github\.com/google/uuid$|` +
	`gorm\.io/(gorm|driver/postgres)|github\.com/jackc/|github\.com/jinzhu/|golang\.org/x/)`)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, out, stderr.String())
	}
	return string(out)
}
