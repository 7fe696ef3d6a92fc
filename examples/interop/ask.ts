// SPDX-License-Identifier: Apache-2.0
// Asks the C++ desk for advice: the root of the trace. Prints the answer and the trace's id.
//   ask.ts DESK CITY
import { webcrypto } from "node:crypto";
import { RunTree } from "langsmith";
import { getCurrentRunTree, traceable } from "langsmith/traceable";

globalThis.crypto ??= webcrypto as Crypto; // For Node 18.

const planTrip = traceable(
  async (desk: string, city: string) => {
    const run = getCurrentRunTree();
    const headers = { "content-type": "application/json", ...run.toHeaders() };
    const reply = await fetch(`http://${desk}/advice`, {
      method: "POST",
      headers,
      body: JSON.stringify({ city }),
    });
    const answer = (await reply.json()) as { text?: string; error?: string };
    if (!reply.ok) throw new Error(`the desk: ${answer.error}`);
    return { answer: answer.text, trace_id: run.trace_id, id: run.id };
  },
  { name: "plan_trip", metadata: { user_id: "u-7" }, tags: ["example"] },
);

const [desk, city] = process.argv.slice(2);
try {
  console.log(JSON.stringify(await planTrip(desk, city)));
} finally {
  await RunTree.getSharedClient().awaitPendingTraceBatches();
}
