// SPDX-License-Identifier: Apache-2.0
// Sends a trace of three spans with OpenTelemetry's SDK for JavaScript: grpc|json|protobuf ADDRESS
import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { resourceFromAttributes } from "@opentelemetry/resources";

const [protocol, address] = process.argv.slice(2);
const exporters = {
  grpc: () => new GrpcExporter({ url: `http://${address}` }),
  json: () => new JsonExporter({ url: `http://${address}/v1/traces` }),
  protobuf: () => new ProtobufExporter({ url: `http://${address}/v1/traces`, compression: "gzip" }),
};
const provider = new TracerProvider({
  resource: resourceFromAttributes({ "service.name": "asker" }),
  spanProcessors: [new BatchSpanProcessor({ exporter: exporters[protocol]() })],
});
const tracer = provider.getTracer("test", "1.0");
const below = (span) => trace.setSpan(context.active(), span);

const root = tracer.startSpan("root");
const chat = tracer.startSpan("chat", {}, below(root));
chat.setAttributes({ "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7 });
const tool = tracer.startSpan("tool", {}, below(chat));
tool.recordException(new Error("boom"));
tool.setStatus({ code: SpanStatusCode.ERROR, message: "boom" });
for (const span of [tool, chat, root]) span.end();
await provider.shutdown();
