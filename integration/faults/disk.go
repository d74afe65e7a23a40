package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
	"github.com/attesto/dpopnonce/integration/faults/load"
)

// fullDisk fills a small file system under a load and then frees it again.
func fullDisk(ctx context.Context, e *env) error {
	dir := filepath.Join(e.dir, "small")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if text, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount a small tmpfs, which needs root: %w: %s", err, text)
	}
	defer func() { _ = exec.Command("umount", "-l", dir).Run() }()
	configs := workers(4, 4, "sqlite", sqliteDSN(filepath.Join(dir, "nonces.db")))
	if err := migrate(ctx, configs[0]); err != nil {
		return err
	}
	h, err := e.under(ctx, configs, e.scaled(5, 2), func(l *load.Load) error {
		filler := filepath.Join(dir, "filler")
		return l.Break(ctx, func() error {
			if err := fill(filler); err != nil {
				return err
			}
			time.Sleep(time.Second)
			return os.Remove(filler)
		})
	})
	if err != nil {
		return err
	}
	if _, err := e.judge("dpopnonce", h, false); err != nil {
		return err
	}
	failures := map[string]int{}
	for _, op := range h.Ops {
		if op.Outcome == history.Failed {
			failures[op.Err]++
		}
	}
	full := false
	var all []string
	for text, n := range failures {
		full = full || strings.Contains(text, "full")
		all = append(all, fmt.Sprintf("\"%s\" (%d)", text, n))
	}
	slices.Sort(all)
	check, err := integrity(configs[0])
	if err != nil {
		return err
	}
	e.printf("\nThe errors of failed calls: %s. `PRAGMA integrity_check` at the end: %s.\n", strings.Join(all, ", "), check)
	if !full || check != "ok" {
		return fmt.Errorf("the disk was not full, or the file is damaged: %v, %s", failures, check)
	}
	return nil
}

// fill writes a file until the file system is full.
func fill(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for {
			if _, err := file.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
	if info, err := file.Stat(); err != nil || info.Size() == 0 {
		return errors.Join(errors.New("the file system was full before"), err)
	}
	return nil
}
