// Package wire counts the round trips of database connections.
package wire

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// A Dialer connects to an address, as net.Dialer.DialContext does.
type Dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a dialer whose connections count their round trips. A trip begins
// with the first write of the client, and with each write after a read.
func Dial(dial Dialer) (Dialer, *atomic.Int64) {
	trips := &atomic.Int64{}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &counted{Conn: conn, trips: trips}, err
	}, trips
}

// Count is Dial for the connections of config.
func Count(config *pgx.ConnConfig) *atomic.Int64 {
	dial, trips := Dial(Dialer(config.DialFunc))
	config.DialFunc = dial
	return trips
}

type counted struct {
	net.Conn
	trips *atomic.Int64
	wrote atomic.Bool
}

func (c *counted) Write(b []byte) (int, error) {
	if !c.wrote.Swap(true) {
		c.trips.Add(1)
	}
	return c.Conn.Write(b)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.wrote.Store(false)
	}
	return n, err
}
