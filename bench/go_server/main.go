// SPDX-License-Identifier: Apache-2.0

// A gRPC server in Go, for fibers_benchmark to measure beside the ones in C++.
//
//	go_server [BACKEND_PORT]
//
// Prints its port. With a backend it calls that twice at once for each call, and joins the answers.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// On the wire the same as bench.Message.
type message = wrapperspb.StringValue

type handler func(context.Context, *message) (*message, error)

func echo(_ context.Context, request *message) (*message, error) {
	return wrapperspb.String(request.GetValue()), nil
}

func fanOut(backend *grpc.ClientConn) handler {
	ask := func(ctx context.Context, request *message) (*message, error) {
		answer := new(message)
		return answer, backend.Invoke(ctx, "/bench.Echo/Unary", request, answer)
	}
	type result struct {
		answer *message
		err    error
	}
	return func(ctx context.Context, request *message) (*message, error) {
		first := make(chan result, 1)
		go func() {
			answer, err := ask(ctx, request)
			first <- result{answer, err}
		}()
		second, err := ask(ctx, request)
		if err != nil {
			return nil, err
		}
		joined := <-first
		if joined.err != nil {
			return nil, joined.err
		}
		return wrapperspb.String(joined.answer.GetValue() + second.GetValue()), nil
	}
}

func service(handle handler) *grpc.ServiceDesc {
	unary := func(_ any, ctx context.Context, decode func(any) error,
		_ grpc.UnaryServerInterceptor) (any, error) {
		request := new(message)
		if err := decode(request); err != nil {
			return nil, err
		}
		return handle(ctx, request)
	}
	return &grpc.ServiceDesc{
		ServiceName: "bench.Echo",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
	}
}

func main() {
	handle := handler(echo)
	if len(os.Args) > 1 {
		backend, err := grpc.NewClient("127.0.0.1:"+os.Args[1],
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			log.Fatal(err)
		}
		handle = fanOut(backend)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	server.RegisterService(service(handle), nil)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(server.Serve(listener))
}
