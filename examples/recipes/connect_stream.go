package recipes

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"github.com/attesto/dpopnonce/dpophttp"
)

func (g *Connect) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		ctx, nonce, err := g.accept(ctx, http.MethodPost, conn.Spec(), conn.RequestHeader(), conn.ResponseHeader())
		if err != nil {
			return err
		}
		defer dpophttp.SetNonce(conn.ResponseHeader(), nonce)
		return next(ctx, &guardedConn{conn, nonce})
	}
}

func (*Connect) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// A guardedConn sets the nonce's headers again before they go out.
type guardedConn struct {
	connect.StreamingHandlerConn
	nonce string
}

func (c *guardedConn) Send(message any) error {
	dpophttp.SetNonce(c.ResponseHeader(), c.nonce)
	c.nonce = "" // the headers are out
	return c.StreamingHandlerConn.Send(message)
}
