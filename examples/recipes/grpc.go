package recipes

import (
	"context"

	"github.com/attesto/dpopnonce/dpophttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// GRPC returns the options of a grpc.Server that judges all its calls. The proof
// and the token are metadata, "dpop" and "authorization", the next nonce is
// "dpop-nonce" of the header. The proof's htm is POST, its htu the origin and the
// full method. A handler leaves dpop-nonce alone, also one that passes on the
// header of an upstream: gRPC sends its value after the next nonce.
func GRPC(app *Application, guard *dpophttp.Guard) []grpc.ServerOption {
	judge := func(ctx context.Context, method string) (context.Context, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		caller, nonce, code := accept(ctx, app, guard, "POST", method, md.Get("authorization"), md.Get("dpop"))
		if nonce != "" {
			if err := grpc.SetHeader(ctx, metadata.Pairs("dpop-nonce", nonce)); err != nil {
				return nil, err
			}
		}
		switch code {
		case "":
			return withCaller(ctx, caller), nil
		case unavailable:
			return nil, status.Error(codes.Unavailable, code)
		}
		return nil, status.Error(codes.Unauthenticated, code)
	}
	unary := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		ctx, err := judge(ctx, info.FullMethod)
		if err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
	stream := func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		ctx, err := judge(s.Context(), info.FullMethod)
		if err != nil {
			return err
		}
		return next(srv, guardedStream{s, ctx})
	}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary), grpc.ChainStreamInterceptor(stream)}
}

// A guardedStream has the caller in its context.
type guardedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s guardedStream) Context() context.Context { return s.ctx }
