// Package load lets processes contend for nonces and keeps the history of what
// they were told. The program that uses it calls [RunWorker] first thing: it is
// its own worker.
package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/faults/history"
)

// Config is how a worker reaches the store.
type Config struct {
	Driver, DSN string // "postgres", "mysql" or "sqlite"
	Store       string // GetThenDelete or NeverExpires, in place of the library's
	GroupCommit bool
	Callers     int           // calls at once
	Pool        int           // connections; Callers if 0
	TTL         time.Duration // of nonces
	Timeout     time.Duration // of a call
	Offset      time.Duration // of the node's clock
	Sweep       time.Duration // between sweeps; none if 0
}

// A task is a call that a worker is to make.
type task struct {
	ID    int64
	Kind  history.Kind
	Nonce string
}

// An answer is that it has begun, and then what it was told.
type answer struct {
	ID int64
	Op history.Op
}

const begun history.Outcome = "begun"

const workerVariable = "FAULTS_WORKER"

// RunWorker makes this process a worker if its parent wants it to be one, and
// then never returns.
func RunWorker() {
	text, ok := os.LookupEnv(workerVariable)
	if !ok {
		return
	}
	if err := work(text, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func work(config string, in io.Reader, out io.Writer) error {
	var c Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	store, err := c.open()
	if err != nil {
		return err
	}
	if c.Sweep > 0 {
		r, _, err := c.Repository()
		if err != nil {
			return err
		}
		go func() { _ = r.SweepEvery(context.Background(), c.Sweep) }()
	}
	tasks := make(chan task)
	var calling sync.WaitGroup
	var mu sync.Mutex
	encoder := json.NewEncoder(out)
	tell := func(a answer) {
		mu.Lock()
		defer mu.Unlock()
		if err := encoder.Encode(a); err != nil {
			os.Exit(1) // the parent is gone
		}
	}
	for range c.Callers {
		calling.Go(func() {
			for t := range tasks {
				op := history.Op{Kind: t.Kind, Nonce: t.Nonce, TTL: c.TTL, Outcome: begun, Start: history.Now(), Clock: c.now()}
				tell(answer{t.ID, op})
				c.call(store, &op)
				tell(answer{t.ID, op})
				if op.Outcome == history.Failed {
					time.Sleep(20 * time.Millisecond) // a load, not a flood of refused connections
				}
			}
		})
	}
	decoder := json.NewDecoder(bufio.NewReader(in))
	for {
		var t task
		if err := decoder.Decode(&t); err != nil {
			break // the parent has closed it
		}
		tasks <- t
	}
	close(tasks)
	calling.Wait()
	return nil
}

// call makes a call and notes what happened.
func (c Config) call(s store, op *history.Op) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	var err error
	switch op.Kind {
	case history.Issue:
		op.Nonce, err = s.Issue(ctx, c.TTL)
		op.Outcome = history.Issued
	case history.Consume:
		err = s.Consume(ctx, op.Nonce, c.TTL)
		op.Outcome = history.Accepted
	case history.Rotate:
		op.Next, err = s.Rotate(ctx, op.Nonce, c.TTL)
		op.Outcome = history.Accepted
	}
	op.End = history.Now()
	switch {
	case err == nil:
	case errors.Is(err, dpopnonce.ErrUsed):
		op.Outcome = history.Used
	case errors.Is(err, dpopnonce.ErrExpired):
		op.Outcome = history.Expired
	case errors.Is(err, dpopnonce.ErrUnknown):
		op.Outcome = history.Unknown
	default:
		op.Outcome, op.Err = history.Failed, err.Error()
	}
}

func (c Config) now() time.Time { return time.Now().Add(c.Offset).UTC() }
