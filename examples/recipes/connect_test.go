package recipes

import (
	"context"
	"errors"
	"fmt"
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

func TestConnectHandlersCannotReplaceNonceHeaders(t *testing.T) {
	type request = connect.Request[emptypb.Empty]
	type response = connect.Response[emptypb.Empty]
	shared := connect.NewError(connect.CodeNotFound, errors.New("no account"))
	setOwnHeaders(shared.Meta())
	for name, handler := range map[string]func(context.Context) (*response, error){
		"call info": func(ctx context.Context) (*response, error) {
			info, _ := connect.CallInfoForHandlerContext(ctx)
			setOwnHeaders(info.ResponseHeader())
			return connect.NewResponse(&emptypb.Empty{}), nil
		},
		"response": func(context.Context) (*response, error) {
			r := connect.NewResponse(&emptypb.Empty{})
			setOwnHeaders(r.Header())
			return r, nil
		},
		"call info and error": func(ctx context.Context) (*response, error) {
			info, _ := connect.CallInfoForHandlerContext(ctx)
			setOwnHeaders(info.ResponseHeader())
			return nil, connect.NewError(connect.CodeNotFound, errors.New("no account"))
		},
		"error": func(context.Context) (*response, error) { return nil, fmt.Errorf("get: %w", shared) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Window)
			s.serve(t, func() http.Handler {
				return connect.NewUnaryHandler(unaryProcedure, func(ctx context.Context, _ *request) (*response, error) {
					return handler(ctx)
				}, connect.WithInterceptors(&Connect{s.app, s.guard}))
			})
			client := connect.NewClient[emptypb.Empty, emptypb.Empty](http.DefaultClient, s.app.Origin+unaryProcedure)
			s.checkOwnHeaders(t, door{"POST", unaryProcedure, func(t *testing.T, proofs ...string) answer {
				request := connect.NewRequest(&emptypb.Empty{})
				sign(request.Header(), proofs)
				response, err := client.CallUnary(t.Context(), request)
				if err != nil {
					got := connectError(t, err)
					checkHeaders(t, got, err.(*connect.Error).Meta())
					return got
				}
				got := answer{200, "", response.Header().Get("DPoP-Nonce"), ""}
				checkHeaders(t, got, response.Header())
				return got
			}})
		})
	}
}

func TestConnectStreamsCannotReplaceNonceHeaders(t *testing.T) {
	for name, handler := range map[string]func(*connect.ServerStream[emptypb.Empty]) error{
		"sends":         func(stream *connect.ServerStream[emptypb.Empty]) error { return stream.Send(&emptypb.Empty{}) },
		"sends nothing": func(*connect.ServerStream[emptypb.Empty]) error { return nil },
	} {
		for protocol, options := range map[string][]connect.ClientOption{"connect": nil, "grpc-web": {connect.WithGRPCWeb()}} {
			t.Run(name+", "+protocol, func(t *testing.T) {
				s := newSite(t, Window)
				s.serve(t, func() http.Handler {
					return connect.NewServerStreamHandler(streamProcedure,
						func(_ context.Context, _ *connect.Request[emptypb.Empty], stream *connect.ServerStream[emptypb.Empty]) error {
							setOwnHeaders(stream.ResponseHeader())
							return handler(stream)
						}, connect.WithInterceptors(&Connect{s.app, s.guard}))
				})
				client := connect.NewClient[emptypb.Empty, emptypb.Empty](http.DefaultClient, s.app.Origin+streamProcedure, options...)
				s.checkOwnHeaders(t, door{"POST", streamProcedure, func(t *testing.T, proofs ...string) answer {
					request := connect.NewRequest(&emptypb.Empty{})
					sign(request.Header(), proofs)
					stream, err := client.CallServerStream(t.Context(), request)
					if err != nil {
						t.Fatal(err)
					}
					defer stream.Close()
					got := answer{status: 200}
					if stream.Receive(); stream.Err() != nil {
						got.status = 401
					}
					got.nonce = stream.ResponseHeader().Get("DPoP-Nonce")
					checkHeaders(t, got, stream.ResponseHeader())
					return got
				}})
			})
		}
	}
}

// Interceptors are often given to servers and clients alike.
func TestConnectClientIsNotJudged(t *testing.T) {
	s := newSite(t, Window)
	d := connectDoor(t, s)
	client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](http.DefaultClient, s.app.Origin+unaryProcedure,
		connect.WithInterceptors(&Connect{s.app, s.guard}))
	request := connect.NewRequest(&emptypb.Empty{})
	sign(request.Header(), []string{s.prove(t, d, s.key, d.call(t, s.prove(t, d, s.key, "")).nonce)})
	if _, err := client.CallUnary(t.Context(), request); err != nil {
		t.Fatal(err)
	}
}
