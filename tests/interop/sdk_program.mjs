// SPDX-License-Identifier: Apache-2.0
// What a user's program looks like: nothing in it knows of weft.
import { webcrypto } from "node:crypto";
import { getCurrentRunTree, traceable } from "langsmith/traceable";
import { RunTree } from "langsmith";

// The SDK expects the global that Node has from version 19 on; Debian 12 ships 18.
globalThis.crypto ??= webcrypto;

const model = traceable(
  async (prompt) => ({
    content: prompt.toUpperCase(),
    usage_metadata: { input_tokens: 7, output_tokens: 3, total_tokens: 10 },
  }),
  { name: "model", run_type: "llm", metadata: { ls_provider: "test", ls_model_name: "echo" } },
);

const readPage = traceable(async ({ name }) => ({ text: `${name}: Grüße, 世界` }), {
  name: "read_page",
  run_type: "retriever",
  extractAttachments: ({ page, ...rest }) => [{ page }, rest],
});

const broken = traceable(
  async (number) => {
    throw new Error(`cannot use ${number}`);
  },
  { name: "broken", run_type: "tool" },
);

const agent = traceable(
  async (question) => {
    await model(question);
    await readPage({ name: "one", page: ["image/png", Uint8Array.from([0x89, 0x50, 0, 0xff])] });
    await broken(3.25).catch(() => {});
    const run = getCurrentRunTree();
    return { answer: 42, trace_id: run.trace_id, id: run.id };
  },
  { name: "agent", tags: ["interop"], metadata: { customer: "alpha" } },
);

const result = await agent("What is it?");
await RunTree.getSharedClient().awaitPendingTraceBatches();
console.log(JSON.stringify(result));
