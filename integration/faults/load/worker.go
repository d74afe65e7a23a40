// Package load lets processes contend for nonces and proofs and keeps the history
// of their calls. It starts the running program again as a worker, so that the
// program has to call [RunWorker] first.
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

// A task is a call for a worker, or a new configuration.
type task struct {
	ID     int64
	Kind   history.Kind
	Nonce  string    // or the id of a proof
	Until  time.Time // of a proof
	Config *Config   `json:",omitempty"` // of the kind configure
}

const configure history.Kind = "configure"

// A worker sends two answers to a call: one with the outcome begun, and one when
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
	n, err := newNode(c)
	if err != nil {
		return err
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
				op := history.Op{Kind: t.Kind, Nonce: t.Nonce, Until: t.Until, TTL: c.TTL, Outcome: begun, Start: history.Now(), Clock: n.now()}
				send(answer{t.ID, op})
				n.call(&op)
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
		if t.Kind != configure {
			tasks <- t
			continue
		}
		if err := n.configure(*t.Config); err != nil {
			return err
		}
		send(answer{t.ID, history.Op{Kind: configure}})
	}
	close(tasks)
	calling.Wait()
	return nil
}

// call makes the call of op and sets its outcome.
func (n *node) call(op *history.Op) {
	c := n.config.Load()
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	s := n.store()
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
	case history.Spend:
		err = s.Spend(ctx, op.Nonce, op.Until)
		op.Outcome = history.Accepted
	}
	op.End = history.Now()
	op.Jump = n.now().Sub(op.Clock) - time.Duration(op.End-op.Start)
	switch {
	case err == nil:
	case errors.Is(err, dpopnonce.ErrUsed), errors.Is(err, dpopnonce.ErrReplayed):
		op.Outcome = history.Used
	case errors.Is(err, dpopnonce.ErrExpired):
		op.Outcome = history.Expired
	case errors.Is(err, dpopnonce.ErrUnknown):
		op.Outcome = history.Unknown
	default:
		op.Outcome, op.Err = history.Failed, err.Error()
	}
}
