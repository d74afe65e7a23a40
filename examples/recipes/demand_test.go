package recipes

import (
	"net/http"
	"testing"
	"time"
)

// offer serves a resource that demands a nonce for payments alone.
func offer(t *testing.T) (s *site, get func(path string, proofs ...string) answer, prove func(path, nonce string, age time.Duration) string) {
	s = newSite(t, Window)
	s.serve(t, func() http.Handler {
		return PerRequest(s.app, s.guard, func(r *http.Request) bool { return r.URL.Path == "/payments" }, account)
	})
	get = func(path string, proofs ...string) answer {
		t.Helper()
		got, _ := send(t, "GET", s.app.Origin+path, "DPoP "+token, proofs...)
		return got
	}
	return s, get, func(path, nonce string, age time.Duration) string {
		return proveFor(t, s.key, "GET", s.app.Origin+path, token, nonce, age)
	}
}

func TestProofWithoutNoncePassesOnceAndGetsOne(t *testing.T) {
	_, get, prove := offer(t)
	proof := prove("/balance", "", 0)
	first := get("/balance", proof)
	if first.status != 200 || first.nonce == "" {
		t.Fatalf("%+v", first)
	}
	if got := get("/balance", proof); got.status != 401 || got.code != "invalid_dpop_proof" {
		t.Fatalf("replayed: %+v", got)
	}
	if got := get("/payments", prove("/payments", first.nonce, 0)); got.status != 200 {
		t.Fatalf("with the nonce: %+v", got)
	}
}

func TestDemandedNonceIsJudged(t *testing.T) {
	s, get, prove := offer(t)
	if got := get("/payments", prove("/payments", "", 0)); got.code != "use_dpop_nonce" {
		t.Fatalf("%+v", got)
	}
	if got := get("/balance", prove("/balance", "unknown", 0)); got.code != "use_dpop_nonce" {
		t.Fatalf("not demanded: %+v", got)
	}
	d := door{method: "GET", path: "/balance"}
	if got := get("/balance", s.proveText(t, d, `,"nonce":""}`)); got.code != "use_dpop_nonce" {
		t.Fatalf("empty: %+v", got)
	}
	if got := get("/balance", s.proveText(t, d, `,"nonce":null}`)); got.code != "invalid_dpop_proof" || got.nonce != "" {
		t.Fatalf("null: %+v", got)
	}
	if n := s.rows(t, "dpop_proofs"); n != 0 {
		t.Fatal(n, "rows")
	}
}

func TestClientWithWrongClockIsServedWithNonce(t *testing.T) {
	s, get, prove := offer(t)
	for _, age := range []time.Duration{time.Hour, -time.Hour} {
		challenge := get("/balance", prove("/balance", "", age))
		if challenge.code != "use_dpop_nonce" || s.rows(t, "dpop_proofs") != 0 {
			t.Fatalf("%v: %+v", age, challenge)
		}
		if got := get("/balance", prove("/balance", challenge.nonce, age)); got.status != 200 {
			t.Fatalf("%v: %+v", age, got)
		}
		s.db.Exec("DELETE FROM dpop_proofs")
	}
}

func TestPassWithoutNonceNeedsStore(t *testing.T) {
	s, get, prove := offer(t)
	if err := s.db.Migrator().DropTable("dpop_proofs"); err != nil {
		t.Fatal(err)
	}
	if got := get("/balance", prove("/balance", "", 0)); got.status != 503 || got.nonce != "" {
		t.Fatalf("%+v", got)
	}
}
