// SPDX-License-Identifier: Apache-2.0

// gRPC's interop cases as grpc-go has them, for interop_grpc_test:
//
//	grpc_go server                        prints its address, serves until stdin ends
//	grpc_go client ADDRESS CASE [gzip]    status 1, and why on stderr, when the case fails
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // A server answers as it was asked.
	"google.golang.org/grpc/interop"
	testing "google.golang.org/grpc/interop/grpc_testing"
)

const deadline = 30 * time.Second

type unaryOrStream func(context.Context, testing.TestServiceClient, ...grpc.CallOption)

var cases = map[string]unaryOrStream{
	"cancel_after_begin":          interop.DoCancelAfterBegin,
	"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
	"client_streaming":            interop.DoClientStreaming,
	"custom_metadata":             interop.DoCustomMetadata,
	"empty_stream":                interop.DoEmptyStream,
	"empty_unary":                 interop.DoEmptyUnaryCall,
	"large_unary":                 interop.DoLargeUnaryCall,
	"ping_pong":                   interop.DoPingPong,
	"server_streaming":            interop.DoServerStreaming,
	"special_status_message":      interop.DoSpecialStatusMessage,
	"status_code_and_message":     interop.DoStatusCodeAndMessage,
	"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
}

// Ends the process when the case fails, as the package does.
func runCase(name string, connection *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	switch name {
	case "unimplemented_method":
		interop.DoUnimplementedMethod(ctx, connection)
	case "unimplemented_service":
		interop.DoUnimplementedService(ctx, testing.NewUnimplementedServiceClient(connection))
	default:
		run, known := cases[name]
		if !known {
			log.Fatalf("unknown case %s", name)
		}
		run(ctx, testing.NewTestServiceClient(connection))
	}
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	testing.RegisterTestServiceServer(server, interop.NewTestServer())
	fmt.Println(listener.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

func main() {
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 1 && arguments[0] == "server":
		serve()
	case len(arguments) >= 3 && arguments[0] == "client":
		options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
		for _, compressor := range arguments[3:] {
			options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(compressor)))
		}
		connection, err := grpc.NewClient(arguments[1], options...)
		if err != nil {
			log.Fatal(err)
		}
		runCase(arguments[2], connection)
	default:
		log.Fatal("usage: grpc_go server | client ADDRESS CASE [gzip]")
	}
}
