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
// the procedure. connect_stream.go and connect_headers.go belong to it.
type Connect struct {
	App   *Application
	Guard *dpophttp.Guard
}

func (g *Connect) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if req.Spec().IsClient {
			return next(ctx, req)
		}
		info, ok := connect.CallInfoForHandlerContext(ctx) // its headers go out with errors also
		if !ok {
			return nil, connect.NewError(connect.CodeInternal, errors.New("not the context of a handler"))
		}
		ctx, nonce, err := g.accept(ctx, req.HTTPMethod(), req.Spec(), req.Header(), info.ResponseHeader())
		if err != nil {
			return nil, err
		}
		defer dpophttp.SetNonce(info.ResponseHeader(), nonce) // in place of what the handler sets
		return onlyOurs(next(ctx, req))
	}
}

func (g *Connect) accept(ctx context.Context, method string, spec connect.Spec, in, out http.Header) (_ context.Context, nonce string, _ error) {
	caller, nonce, code := accept(ctx, g.App, g.Guard, method, spec.Procedure, in.Values("Authorization"), in.Values("DPoP"))
	dpophttp.SetNonce(out, nonce)
	if code == "" {
		return withCaller(ctx, caller), nonce, nil
	}
	out.Set("Cache-Control", "no-store")
	if code == unavailable {
		return nil, "", connect.NewError(connect.CodeUnavailable, errors.New(code))
	}
	out.Set("WWW-Authenticate", `DPoP error="`+code+`"`)
	return nil, "", connect.NewError(connect.CodeUnauthenticated, errors.New(code))
}
