// SPDX-License-Identifier: Apache-2.0
// Puts advice into words: express, below the run of the C++ desk that asks for it.
import { webcrypto } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import express from "express";
import { RunTree } from "langsmith";
import { traceable, withRunTree } from "langsmith/traceable";

// The SDK expects the global that Node has from version 19 on; Debian 12 ships 18.
globalThis.crypto ??= webcrypto as Crypto;

const writeText = traceable(
  async ({ city, weather }: { city: string; weather: string }) => ({
    text: `Take a coat to ${city}: ${weather}.`,
  }),
  { name: "write_text", run_type: "prompt" },
);

const app = express();
app.use(express.json());
app.use((request, response, next) => {
  const caller = RunTree.fromHeaders(request.headers as Record<string, string>);
  if (caller) withRunTree(caller, async () => next());
  else next();
});
app.post("/text", async (request, response) => {
  response.json(await writeText(request.body));
});

const [, , flag, readyFile] = process.argv;
if (flag !== "--ready-file" || !readyFile) {
  console.error("Usage: writer.ts --ready-file PATH");
  process.exit(2);
}
const server = app.listen(0, "127.0.0.1", () => {
  const { address, port } = server.address() as AddressInfo;
  writeFileSync(`${readyFile}.draft`, JSON.stringify({ pid: process.pid, http: `${address}:${port}` }));
  renameSync(`${readyFile}.draft`, readyFile);
});
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
    RunTree.getSharedClient().awaitPendingTraceBatches();
  });
}
