// SPDX-License-Identifier: Apache-2.0

// Sends a trace of three spans with OpenTelemetry's SDK for Go:
//
//	otel_go grpc ADDRESS    OTLP over gRPC
//	otel_go http ADDRESS    OTLP over HTTP, compressed
package main

import (
	"context"
	"errors"
	"log"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

func client(protocol, address string) otlptrace.Client {
	if protocol == "grpc" {
		return otlptracegrpc.NewClient(otlptracegrpc.WithInsecure(), otlptracegrpc.WithEndpoint(address))
	}
	return otlptracehttp.NewClient(otlptracehttp.WithInsecure(), otlptracehttp.WithEndpoint(address),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: otel_go grpc|http ADDRESS")
	}
	ctx := context.Background()
	exporter, err := otlptrace.New(ctx, client(os.Args[1], os.Args[2]))
	if err != nil {
		log.Fatal(err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", "asker"))))
	tracer := provider.Tracer("test")

	rootContext, root := tracer.Start(ctx, "root")
	chatContext, chat := tracer.Start(rootContext, "chat")
	chat.SetAttributes(attribute.String("gen_ai.operation.name", "chat"),
		attribute.Int("gen_ai.usage.input_tokens", 7))
	_, tool := tracer.Start(chatContext, "tool")
	tool.RecordError(errors.New("boom"))
	tool.SetStatus(codes.Error, "boom")
	tool.End()
	chat.End()
	root.End()
	if err := provider.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}
