package load

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"
)

// Config configures a worker and its store.
type Config struct {
	Driver, DSN string // "postgres", "mysql" or "sqlite"
	Store       string // the library, or LookFirst or NeverExpires
	Roles       []Role // each call takes one of them at random
	Keys        []Key  // of sealed nonces
	GroupCommit bool
	Callers     int           // concurrent calls
	Pool        int           // connections; Callers if 0
	TTL         time.Duration // of nonces and proofs
	Timeout     time.Duration // of a call
	Sweep       time.Duration // between sweeps; none if 0
	Namespace   string        // of the network; that of the load if empty

	// The node's clock is ahead by Offset. If Speed is not 0, it has run that many
	// times as fast since Epoch.
	Offset time.Duration
	Speed  int
	Epoch  time.Time

	Hold bool // the node's calls stop before each of their statements
}

// A Role is what a node of a fleet issues. Each accepts stored nonces and proofs.
type Role string

const (
	Stores Role = "stored" // issues stored nonces, and does not accept sealed ones
	Opens  Role = "opener" // the same, but accepts sealed ones
	Seals  Role = "sealer" // issues sealed nonces
)

// AllForms are the roles of a node that issues and accepts everything.
var AllForms = []Role{Opens, Seals}

// A Key names a key for sealed nonces.
type Key int

// text returns the key as ParseKey reads it.
func (k Key) text() string {
	digest := sha256.Sum256([]byte(fmt.Sprint("the key of a test, number ", int(k))))
	return base64.StdEncoding.EncodeToString(digest[:])
}

// now reads the clock of the node.
func (c Config) now() time.Time {
	now := time.Now()
	if c.Speed > 0 {
		now = c.Epoch.Add(time.Duration(c.Speed) * now.Sub(c.Epoch))
	}
	return now.Add(c.Offset).UTC()
}
