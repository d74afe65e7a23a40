package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func withMetrics(c *config) { c.metrics = true }

// get returns the body of an answer of 200.
func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Fatal(response.Status, err)
	}
	return string(body)
}

// metricName finds names of metrics among those of labels.
var metricName = regexp.MustCompile(`\bdpopnonce_[a-z_]+`)

// TestRulesAndDashboardNameWhatIsServed compares them with the metrics of a server
// that has seen the flow, and a sweep.
func TestRulesAndDashboardNameWhatIsServed(t *testing.T) {
	c, s := start(t, singleUse, withMetrics)
	if err := c.story(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.nonces.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	swept := httptest.NewRecorder()
	s.metrics.handler.ServeHTTP(swept, httptest.NewRequest("GET", "/metrics", nil))
	served := map[string]bool{}
	for _, text := range []string{get(t, c.issuer+"/metrics"), swept.Body.String()} {
		for _, name := range metricName.FindAllString(text, -1) { // of labels also
			served[name] = true
		}
		promtool(t, text, "check", "metrics")
	}
	for _, file := range []string{"alerts.yaml", "alerts_test.yaml", "dashboard.json"} {
		rules, err := os.ReadFile(filepath.Join("../../dpopotel", file))
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(rules), -1)
		for _, name := range names {
			if !served[name] {
				t.Errorf("%s names %s, which the server does not", file, name)
			}
		}
		if len(names) < 10 {
			t.Errorf("%s has %d names", file, len(names))
		}
	}
	promtool(t, "", "check", "rules", "alerts.yaml")
	promtool(t, "", "test", "rules", "alerts_test.yaml")
}

// promtool runs Prometheus's tool in the directory of the rules. Without the tool it
// skips the test, or fails it in CI.
func promtool(t *testing.T, input string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("promtool is not installed: install the Debian package prometheus")
	}
	command := exec.CommandContext(t.Context(), "promtool", args...)
	command.Dir, command.Stdin = "../../dpopotel", strings.NewReader(input)
	if text, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, text)
	}
}

func TestMetricsHoldNoNonce(t *testing.T) {
	c, _ := start(t, singleUse, withMetrics)
	c.authorize(t)
	if text := get(t, c.issuer+"/metrics"); strings.Contains(text, c.nonce) || !strings.Contains(text, `dpopnonce_outcome="missing"`) {
		t.Error(text)
	}
}

func TestMetricsAreServedOnRequestOnly(t *testing.T) {
	c, _ := start(t)
	if response, _ := send(t, newRequest(t, c, "GET", c.issuer+"/metrics", "")); response.StatusCode != 404 {
		t.Error(response.Status)
	}
}

func TestHealthTellsHowLateSweepsAre(t *testing.T) {
	c, s := start(t)
	health := func() map[string]any { return decode(t, get(t, c.issuer+"/healthz")) }
	if got := health(); got["status"] != "ok" || got["sweep_lag_seconds"] != 0.0 {
		t.Error(got)
	}
	if err := s.nonces.Spend(t.Context(), "proof", time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Exec("UPDATE dpop_nonces SET expires_at = datetime('now', '-1 hour') || '+00:00'").Error; err != nil {
		t.Fatal(err)
	}
	if got := health(); got["status"] != "ok" || got["sweep_lag_seconds"].(float64) < 3599 {
		t.Error(got)
	}
	if err := s.db.Migrator().DropTable("dpop_nonces"); err != nil {
		t.Fatal(err)
	}
	if response, body := send(t, newRequest(t, c, "GET", c.issuer+"/healthz", "")); response.StatusCode != 503 {
		t.Error(response.Status, body)
	}
}
