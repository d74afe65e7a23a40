package recipes

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const unaryProcedure, streamProcedure = "/bank.v1.Accounts/Get", "/bank.v1.Accounts/Watch"

func connectDoor(t *testing.T, s *site) door { return unaryDoor(t, s) }
func grpcWebDoor(t *testing.T, s *site) door { return unaryDoor(t, s, connect.WithGRPCWeb()) }

func unaryDoor(t *testing.T, s *site, options ...connect.ClientOption) door {
	serveConnect(t, s)
	client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](http.DefaultClient, s.app.Origin+unaryProcedure, options...)
	return door{"POST", unaryProcedure, func(t *testing.T, proofs ...string) answer {
		request := connect.NewRequest(&emptypb.Empty{})
		sign(request.Header(), proofs)
		response, err := client.CallUnary(t.Context(), request)
		if err != nil {
			return connectError(t, err)
		}
		return answer{200, "", response.Header().Get("DPoP-Nonce"), response.Msg.Value}
	}}
}

func connectStreamDoor(t *testing.T, s *site) door {
	serveConnect(t, s)
	client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](http.DefaultClient, s.app.Origin+streamProcedure)
	return door{"POST", streamProcedure, func(t *testing.T, proofs ...string) answer {
		request := connect.NewRequest(&emptypb.Empty{})
		sign(request.Header(), proofs)
		stream, err := client.CallServerStream(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		if !stream.Receive() {
			return connectError(t, stream.Err())
		}
		return answer{200, "", stream.ResponseHeader().Get("DPoP-Nonce"), stream.Msg().Value}
	}}
}

func serveConnect(t *testing.T, s *site) {
	t.Helper()
	interceptors := connect.WithInterceptors(&Connect{s.app, s.guard})
	mux := http.NewServeMux()
	mux.Handle(unaryProcedure, connect.NewUnaryHandler(unaryProcedure,
		func(ctx context.Context, _ *connect.Request[emptypb.Empty]) (*connect.Response[wrapperspb.StringValue], error) {
			return connect.NewResponse(wrapperspb.String("account of " + callerOf(ctx).Subject)), nil
		}, interceptors))
	mux.Handle(streamProcedure, connect.NewServerStreamHandler(streamProcedure,
		func(ctx context.Context, _ *connect.Request[emptypb.Empty], stream *connect.ServerStream[wrapperspb.StringValue]) error {
			return stream.Send(wrapperspb.String("account of " + callerOf(ctx).Subject))
		}, interceptors))
	s.serve(t, func() http.Handler { return mux })
}

func sign(h http.Header, proofs []string) {
	h.Set("Authorization", "DPoP "+token)
	h["Dpop"] = proofs
}

func connectError(t *testing.T, err error) answer {
	t.Helper()
	var refused *connect.Error
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	challenge := `DPoP error="` + refused.Message() + `"`
	if refused.Code() == connect.CodeUnauthenticated && refused.Meta().Get("WWW-Authenticate") != challenge {
		t.Error(refused.Meta())
	}
	status := map[connect.Code]int{connect.CodeUnauthenticated: 401, connect.CodeUnavailable: 503}[refused.Code()]
	return answer{status, refused.Message(), refused.Meta().Get("DPoP-Nonce"), ""}
}

func TestHandlersErrorCarriesNonce(t *testing.T) {
	s := newSite(t, Window)
	s.serve(t, func() http.Handler {
		return connect.NewUnaryHandler(unaryProcedure,
			func(context.Context, *connect.Request[emptypb.Empty]) (*connect.Response[emptypb.Empty], error) {
				return nil, connect.NewError(connect.CodeNotFound, errors.New("no account"))
			}, connect.WithInterceptors(&Connect{s.app, s.guard}))
	})
	client := connect.NewClient[emptypb.Empty, emptypb.Empty](http.DefaultClient, s.app.Origin+unaryProcedure)
	var nonce string
	for _, want := range []string{"use_dpop_nonce", "no account"} {
		request := connect.NewRequest(&emptypb.Empty{})
		sign(request.Header(), []string{proveFor(t, s.key, "POST", s.app.Origin+unaryProcedure, token, nonce, 0)})
		_, err := client.CallUnary(t.Context(), request)
		got := connectError(t, err)
		if nonce = got.nonce; got.code != want || nonce == "" {
			t.Fatalf("%+v", got)
		}
	}
}
