package recipes

import (
	"context"
	"errors"
	"net/http"

	"connectrpc.com/connect"
	"github.com/attesto/dpopnonce/dpophttp"
)

// Connect judges the calls of a Connect server, for clients of all its protocols
// (the middleware would answer gRPC clients in plain HTTP):
// connect.WithInterceptors(&Connect{app, guard}). A proof's htu is the origin and
// the procedure.
type Connect struct {
	App   *Application
	Guard *dpophttp.Guard
}

func (g *Connect) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		info, _ := connect.CallInfoForHandlerContext(ctx) // its headers go out with errors also
		ctx, err := g.accept(ctx, req.HTTPMethod(), req.Spec(), req.Header(), info.ResponseHeader())
		if err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

func (g *Connect) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		ctx, err := g.accept(ctx, http.MethodPost, conn.Spec(), conn.RequestHeader(), conn.ResponseHeader())
		if err != nil {
			return err
		}
		return next(ctx, conn)
	}
}

func (*Connect) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (g *Connect) accept(ctx context.Context, method string, spec connect.Spec, in, out http.Header) (context.Context, error) {
	caller, nonce, code := accept(ctx, g.App, g.Guard, method, spec.Procedure, in.Values("Authorization"), in.Values("DPoP"))
	dpophttp.SetNonce(out, nonce)
	switch code {
	case "":
		return withCaller(ctx, caller), nil
	case unavailable:
		return nil, connect.NewError(connect.CodeUnavailable, errors.New(code))
	}
	out.Set("WWW-Authenticate", `DPoP error="`+code+`"`)
	return nil, connect.NewError(connect.CodeUnauthenticated, errors.New(code))
}
