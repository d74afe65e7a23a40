// Package load lets processes contend for nonces and keeps the history of their
// calls. It starts the running program again as a worker, so that the program has
// to call [RunWorker] first.
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

// Config configures a worker and its store.
type Config struct {
	Driver, DSN string // "postgres", "mysql" or "sqlite"
	Store       string // the library, or GetThenDelete or NeverExpires
	GroupCommit bool
	Callers     int           // concurrent calls
	Pool        int           // connections; Callers if 0
	TTL         time.Duration // of nonces
	Timeout     time.Duration // of a call
	Offset      time.Duration // of the node's clock
	Sweep       time.Duration // between sweeps; none if 0
	Namespace   string        // of the network; that of the load if empty
}

// A task is a call for a worker.
type task struct {
	ID    int64
	Kind  history.Kind
	Nonce string
}

// A worker sends two answers to a task: one with the outcome begun, and one when
// the call has ended.
type answer struct {
	ID int64
	Op history.Op
}

const begun history.Outcome = "begun"

const workerVariable = "FAULTS_WORKER"

// RunWorker runs a worker and exits if a load has started this process. Otherwise
// it returns at once.
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
	send := func(a answer) {
		mu.Lock()
		defer mu.Unlock()
		if err := encoder.Encode(a); err != nil {
			os.Exit(1) // the parent has ended
		}
	}
	for range c.Callers {
		calling.Go(func() {
			for t := range tasks {
				op := history.Op{Kind: t.Kind, Nonce: t.Nonce, TTL: c.TTL, Outcome: begun, Start: history.Now(), Clock: c.now()}
				send(answer{t.ID, op})
				c.call(store, &op)
				send(answer{t.ID, op})
				if op.Outcome == history.Failed {
					time.Sleep(20 * time.Millisecond) // limits the rate of refused connections
				}
			}
		})
	}
	decoder := json.NewDecoder(bufio.NewReader(in))
	for {
		var t task
		if err := decoder.Decode(&t); err != nil {
			break // the parent has closed the pipe
		}
		tasks <- t
	}
	close(tasks)
	calling.Wait()
	return nil
}

// call makes the call of op and sets its outcome.
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
