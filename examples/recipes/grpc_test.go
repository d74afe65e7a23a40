package recipes

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// health is a service that grpc brings along. It answers for alice alone.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if callerOf(ctx).Subject != "alice" {
		return nil, status.Error(codes.PermissionDenied, "not alice")
	}
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func (h health) Watch(r *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	response, err := h.Check(stream.Context(), r)
	if err != nil {
		return err
	}
	return stream.Send(response)
}

func dialHealth(t *testing.T, s *site) grpc_health_v1.HealthClient { return dial(t, s, health{}) }

func dial(t *testing.T, s *site, service grpc_health_v1.HealthServer) grpc_health_v1.HealthClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.app.Origin = "http://" + listener.Addr().String()
	server := grpc.NewServer(GRPC(s.app, s.guard)...)
	grpc_health_v1.RegisterHealthServer(server, service)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return grpc_health_v1.NewHealthClient(conn)
}

func outgoing(ctx context.Context, proofs []string) context.Context {
	md := metadata.Pairs("authorization", "DPoP "+token)
	md.Append("dpop", proofs...)
	return metadata.NewOutgoingContext(ctx, md)
}

func grpcDoor(t *testing.T, s *site) door {
	client := dialHealth(t, s)
	return door{"POST", grpc_health_v1.Health_Check_FullMethodName, func(t *testing.T, proofs ...string) answer {
		var header metadata.MD
		_, err := client.Check(outgoing(t.Context(), proofs), &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&header))
		return grpcAnswer(header, err)
	}}
}

func grpcStreamDoor(t *testing.T, s *site) door {
	client := dialHealth(t, s)
	return door{"POST", grpc_health_v1.Health_Watch_FullMethodName, func(t *testing.T, proofs ...string) answer {
		stream, err := client.Watch(outgoing(t.Context(), proofs), &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		header, headerErr := stream.Header()
		if headerErr != nil {
			t.Fatal(headerErr)
		}
		return grpcAnswer(header, err)
	}}
}

func grpcAnswer(header metadata.MD, err error) answer {
	s := status.Convert(err)
	got := answer{text: "for alice"}
	if nonces := header.Get("dpop-nonce"); len(nonces) == 1 {
		got.nonce = nonces[0]
	}
	got.status = map[codes.Code]int{codes.OK: 200, codes.Unauthenticated: 401, codes.Unavailable: 503}[s.Code()]
	got.code = s.Message()
	return got
}

// passing passes on the header of an upstream.
type passing struct{ health }

func (passing) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return &grpc_health_v1.HealthCheckResponse{}, grpc.SetHeader(ctx, metadata.Pairs("dpop-nonce", "the upstream's"))
}

func TestGRPCHandlersNonceComesLast(t *testing.T) {
	s := newSite(t, Window)
	client := dial(t, s, passing{})
	d := door{method: "POST", path: grpc_health_v1.Health_Check_FullMethodName}
	nonce := ""
	for _, want := range []int{1, 2, 2} {
		var header metadata.MD
		_, _ = client.Check(outgoing(t.Context(), []string{s.prove(t, d, s.key, nonce)}), &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&header))
		nonces := header.Get("dpop-nonce")
		if len(nonces) != want {
			t.Fatal(nonces)
		}
		nonce = nonces[0]
	}
}
