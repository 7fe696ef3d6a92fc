// SPDX-License-Identifier: Apache-2.0
// Makes 50 traces for each line that it reads, and prints their ids as one line of JSON.
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";
import { RunTree } from "langsmith";
import { getCurrentRunTree, traceable } from "langsmith/traceable";

// The SDK expects the global that Node has from version 19 on; Debian 12 ships 18.
globalThis.crypto ??= webcrypto;

const step = traceable(async (number) => ({ text: `${number} `.repeat(200) }), { name: "step" });

const agent = traceable(
  async (number) => {
    await step(number);
    return { id: getCurrentRunTree().id, number };
  },
  { name: "agent" },
);

let made = 0;
for await (const _ of createInterface({ input: process.stdin })) {
  const ids = [];
  for (let i = 0; i < 50; ++i) ids.push((await agent(made++)).id);
  console.log(JSON.stringify(ids));
}
// Between its attempts the SDK has nothing that keeps the process running.
const running = setInterval(() => {}, 1000);
await RunTree.getSharedClient().awaitPendingTraceBatches();
clearInterval(running);
