package main

import (
	"errors"
	"os"
	"testing"

	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/netns"
	"github.com/attesto/dpopnonce/integration/faults/powerfs"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

func TestMain(m *testing.M) {
	load.RunWorker() // the load starts this binary as its workers
	os.Exit(m.Run())
}

// It leaves out the scenarios that need a cluster, a file system or much time.
func TestShortScenariosPass(t *testing.T) {
	for _, s := range scenarios {
		switch s.name {
		case "disk", "galera", "failover", "patroni", "partition", "soak":
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			section, err := runOne(t.Context(), s, true, 1)
			t.Log(section)
			var missing servers.NotInstalled
			var refused netns.Refused
			switch {
			case errors.As(err, &refused), errors.Is(err, powerfs.ErrNoDevice): // a container may have neither, also in CI
				t.Skip(err)
			case errors.As(err, &missing) && os.Getenv("CI") != "true":
				t.Skip(err)
			case err != nil:
				t.Fatal(err)
			}
		})
	}
}
