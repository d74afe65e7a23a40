package recipes

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gofiber/fiber/v3"
)

// A door is a started recipe: one call of a client with these proofs. The answer
// to a call that passed has the status 200.
type door struct {
	method, path string
	call         func(t *testing.T, proofs ...string) answer
}

// doors start the recipes that guard a resource.
var doors = map[string]func(*testing.T, *site) door{
	"chi":                 onNetHTTP(func(s *site) http.Handler { return Chi(s.app, s.guard) }),
	"gin":                 onNetHTTP(func(s *site) http.Handler { return Gin(s.app, s.guard) }),
	"echo":                onNetHTTP(func(s *site) http.Handler { return Echo(s.app, s.guard) }),
	"bearer":              onNetHTTP(func(s *site) http.Handler { return BearerBesideDPoP(s.app, s.guard, account) }),
	"demand":              onNetHTTP(func(s *site) http.Handler { return PerRequest(s.app, s.guard, always, account) }),
	"fiber":               fiberDoor,
	"connect":             connectDoor,
	"grpc-web to connect": grpcWebDoor,
	"connect stream":      connectStreamDoor,
	"grpc":                grpcDoor,
	"grpc stream":         grpcStreamDoor,
}

var account http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "account 7 of ", callerOf(r.Context()).Subject)
}

func always(*http.Request) bool { return true }

func onNetHTTP(recipe func(*site) http.Handler) func(*testing.T, *site) door {
	return func(t *testing.T, s *site) door {
		s.serve(t, func() http.Handler { return recipe(s) })
		return httpDoor(s)
	}
}

func httpDoor(s *site) door {
	return door{"GET", "/accounts/7", func(t *testing.T, proofs ...string) answer {
		got, header := send(t, "GET", s.app.Origin+"/accounts/7", "DPoP "+token, proofs...)
		challenge := `DPoP error="` + got.code + `"`
		if got.status == 401 && got.nonce != "" && !strings.HasPrefix(header.Get("WWW-Authenticate"), challenge) {
			t.Error(header)
		}
		checkHeaders(t, got, header)
		return got
	}}
}

// checkHeaders fails unless a response with a nonce has one, is not stored, and
// shows it to browsers. A refusal is not stored either.
func checkHeaders(t *testing.T, got answer, header http.Header) {
	t.Helper()
	if (got.nonce != "" || got.status >= 400) && !slices.Equal(header.Values("Cache-Control"), []string{"no-store"}) {
		t.Error(got.status, header)
	}
	if got.nonce != "" && (len(header.Values("DPoP-Nonce")) != 1 ||
		!strings.Contains(header.Get("Access-Control-Expose-Headers"), "DPoP-Nonce")) {
		t.Error(got.status, header)
	}
}

func fiberDoor(t *testing.T, s *site) door {
	return s.serveFiber(t, func() *fiber.App { return Fiber(s.app, s.guard) })
}

func (s *site) serveFiber(t *testing.T, app func() *fiber.App) door {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.app.Origin = "http://" + listener.Addr().String()
	router := app()
	served := make(chan error, 1)
	go func() { served <- router.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections() // fasthttp waits for those that no request came on
		if err := router.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return httpDoor(s)
}

func onEachDoor(t *testing.T, test func(t *testing.T, s *site, d door, prove func(nonce string) string)) {
	for name, open := range doors {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Window)
			d := open(t, s)
			test(t, s, d, func(nonce string) string { return s.prove(t, d, s.key, nonce) })
		})
	}
}

// prove makes a proof for a call of d.
func (s *site) prove(t *testing.T, d door, key *ecdsa.PrivateKey, nonce string) string {
	t.Helper()
	return proveFor(t, key, d.method, s.app.Origin+d.path, token, nonce, 0)
}

// proveText makes a proof without a nonce whose claims end in this text.
func (s *site) proveText(t *testing.T, d door, end string) string {
	t.Helper()
	claims, err := json.Marshal(proofClaims(d.method, s.app.Origin+d.path, token, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	return signProof(t, s.key, strings.TrimSuffix(string(claims), "}")+end)
}

func TestProofWithoutNonceIsChallenged(t *testing.T) {
	onEachDoor(t, func(t *testing.T, s *site, d door, prove func(string) string) {
		for what, nonce := range map[string]string{"none": "", "unknown": "unknown", "10 kB": strings.Repeat("n", 10<<10)} {
			if got := d.call(t, prove(nonce)); got.code != "use_dpop_nonce" || got.nonce == "" {
				t.Fatalf("%s: %+v", what, got)
			}
		}
		if got := d.call(t, s.proveText(t, d, `,"nonce":""}`)); got.code != "use_dpop_nonce" || got.nonce == "" {
			t.Fatalf("empty: %+v", got)
		}
		if n := s.rows(t, "dpop_proofs"); n != 0 {
			t.Fatal(n, "rows")
		}
	})
}

func TestEachProofPassesOnceWithinWindow(t *testing.T) {
	onEachDoor(t, func(t *testing.T, s *site, d door, prove func(string) string) {
		nonce := d.call(t, prove("")).nonce
		first, second := prove(nonce), prove(nonce)
		for i, proof := range []string{first, second} {
			if got := d.call(t, proof); got.status != 200 || !strings.Contains(got.text, "alice") {
				t.Fatalf("%d: %+v", i, got)
			}
		}
		if got := d.call(t, first); got.code != "invalid_dpop_proof" || got.nonce == "" {
			t.Fatalf("replayed: %+v", got)
		}
		if n := s.rows(t, "dpop_proofs"); n != 2 {
			t.Fatal(n, "rows")
		}
	})
}

func TestParallelReplaysPassOnce(t *testing.T) {
	onEachDoor(t, func(t *testing.T, s *site, d door, prove func(string) string) {
		proof := prove(d.call(t, prove("")).nonce)
		var passed atomic.Int64
		t.Run("at once", func(t *testing.T) {
			for range 8 {
				t.Run("", func(t *testing.T) {
					t.Parallel()
					if d.call(t, proof).status == 200 {
						passed.Add(1)
					}
				})
			}
		})
		if n := passed.Load(); n != 1 {
			t.Fatal(n, "passed")
		}
	})
}

func TestInvalidProofIsRefusedWithoutNonce(t *testing.T) {
	onEachDoor(t, func(t *testing.T, s *site, d door, prove func(string) string) {
		nonce := d.call(t, prove("")).nonce
		for want, proofs := range map[string][]string{
			"invalid_dpop_proof":         nil,
			"invalid_dpop_proof, two":    {prove(nonce), prove(nonce)},
			"invalid_dpop_proof, empty":  {""},
			"invalid_dpop_proof, forged": {prove(nonce) + "A"},
			"invalid_dpop_proof, path":   {proveFor(t, s.key, d.method, s.app.Origin+d.path+"/", token, nonce, 0)},
			"invalid_dpop_proof, method": {proveFor(t, s.key, "PUT", s.app.Origin+d.path, token, nonce, 0)},
			"invalid_dpop_proof, token":  {proveFor(t, s.key, d.method, s.app.Origin+d.path, bearerToken, nonce, 0)},
			"invalid_dpop_proof, padded": {prove(nonce) + "="},
			"invalid_dpop_proof, blank":  {strings.Replace(prove(nonce), ".", " .", 1)},
			"invalid_dpop_proof, null":   {s.proveText(t, d, `,"nonce":null}`)},
			"invalid_dpop_proof, number": {s.proveText(t, d, `,"nonce":7}`)},
			"invalid_dpop_proof, twice":  {s.proveText(t, d, `,"nonce":"unknown","nonce":"`+nonce+`"}`)},
			"invalid_token":              {s.prove(t, d, newKey(t), nonce)},
		} {
			code, _, _ := strings.Cut(want, ",")
			if got := d.call(t, proofs...); got.code != code || got.nonce != "" {
				t.Errorf("%s: %+v", want, got)
			}
		}
	})
}

func TestStoreFailureIsNoChallengeAndNoPass(t *testing.T) {
	onEachDoor(t, func(t *testing.T, s *site, d door, prove func(string) string) {
		nonce := d.call(t, prove("")).nonce
		if err := s.db.Migrator().DropTable("dpop_proofs"); err != nil {
			t.Fatal(err)
		}
		if got := d.call(t, prove(nonce)); got.status != 503 || got.code != unavailable || got.nonce != "" {
			t.Fatalf("%+v", got)
		}
	})
}

func TestUnguardedRoutesStayOpen(t *testing.T) {
	for _, name := range []string{"chi", "gin", "echo", "fiber"} {
		s := newSite(t, Window)
		doors[name](t, s)
		if got, _ := send(t, "GET", s.app.Origin+"/health", ""); got.status != 200 || got.nonce != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
