// SPDX-License-Identifier: Apache-2.0
// A program with LangSmith's SDK that sends its runs as OpenTelemetry's spans.
import { webcrypto } from "node:crypto";
import { initializeOTEL } from "langsmith/experimental/otel/setup";
import { traceable } from "langsmith/traceable";

// The SDK expects the global that Node has from version 19 on; Debian 12 ships 18.
globalThis.crypto ??= webcrypto;

const { DEFAULT_LANGSMITH_SPAN_PROCESSOR: processor } = initializeOTEL();
const answer = traceable(async (question) => ({ text: [...question].reverse().join("") }), {
  name: "answer",
  run_type: "llm",
});
const plan = traceable(async (question) => answer(question), {
  name: "plan",
  tags: ["a", "b"],
  metadata: { k: "v" },
});
await plan("why");
await processor.shutdown();
