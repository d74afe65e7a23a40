package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// A node is the store of a worker, which can be configured anew while calls run.
type node struct {
	config atomic.Pointer[Config]
	sealer *dpopnonce.Sealer // nil without keys
	stores []store           // one for each role
	gate   sync.RWMutex      // locked while statements are held
}

func newNode(c Config) (*node, error) {
	n := &node{}
	n.config.Store(&c)
	db, err := c.Open()
	if err != nil {
		return nil, err
	}
	hold := func(*gorm.DB) {
		n.gate.RLock()
		defer n.gate.RUnlock()
	}
	if err := db.Callback().Raw().Before("gorm:raw").Register("faults:hold", hold); err != nil {
		return nil, err
	}
	if err := db.Callback().Row().Before("gorm:row").Register("faults:hold", hold); err != nil {
		return nil, err
	}
	if len(c.Keys) > 0 {
		keys, err := parse(c.Keys)
		if err != nil {
			return nil, err
		}
		if n.sealer, err = dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "https://as.example/token", Keys: keys}); err != nil {
			return nil, err
		}
	}
	var r *dpopnonce.Repository
	for _, role := range c.Roles {
		if r, err = n.repository(db, role); err != nil {
			return nil, err
		}
		if c.Store == LookFirst {
			n.stores = append(n.stores, lookFirst{r, db})
		} else {
			n.stores = append(n.stores, r)
		}
	}
	if r == nil {
		return nil, fmt.Errorf("no roles")
	}
	if c.Sweep > 0 {
		go func() { _ = r.SweepEvery(context.Background(), c.Sweep) }()
	}
	return n, nil
}

func (n *node) repository(db *gorm.DB, role Role) (*dpopnonce.Repository, error) {
	now := n.now
	if n.config.Load().Store == NeverExpires {
		start := now()
		now = func() time.Time { return start }
	}
	opts := append(n.config.Load().Options(), dpopnonce.WithClock(now))
	switch role {
	case Opens:
		opts = append(opts, dpopnonce.WithOpener(n.sealer))
	case Seals:
		opts = append(opts, dpopnonce.WithSealer(n.sealer))
	}
	return dpopnonce.NewRepository(db, opts...)
}

func parse(names []Key) ([]dpopnonce.Key, error) {
	var keys []dpopnonce.Key
	for _, name := range names {
		key, err := dpopnonce.ParseKey(name.text())
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// configure takes the keys, the clock and the hold of c.
func (n *node) configure(c Config) error {
	if n.sealer != nil {
		keys, err := parse(c.Keys)
		if err != nil {
			return err
		}
		if err := n.sealer.SetKeys(keys...); err != nil {
			return err
		}
	}
	held := n.config.Swap(&c).Hold
	switch {
	case c.Hold && !held:
		n.gate.Lock()
	case held && !c.Hold:
		n.gate.Unlock()
	}
	return nil
}

func (n *node) now() time.Time { return n.config.Load().now() }

// store returns the store of one of the node's roles, at random.
func (n *node) store() store { return n.stores[rand.IntN(len(n.stores))] }
