// SPDX-License-Identifier: Apache-2.0
// The ends of a chain in JavaScript: grpc-js and the LangSmith SDK.
//   peer.mjs ask ADDRESS                 asks both ways; prints the trace's id and the answers as JSON
//   peer.mjs answer --ready-file PATH    serves until SIGTERM
import { webcrypto } from "node:crypto";
import { once } from "node:events";
import { renameSync, writeFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { getCurrentRunTree, traceable } from "langsmith/traceable";
import { clientInterceptor, flush, tracedStream, tracedUnary } from "./tracing.mjs";

// The SDK expects the global that Node has from version 19 on; Debian 12 ships 18.
globalThis.crypto ??= webcrypto;

const { Relay } = grpc.loadPackageDefinition(loader.loadSync("relay.proto")).interop;

const answer = traceable(async (text) => text.toUpperCase(), { name: "answer" });

async function ask(call, callback) {
  callback(null, { text: await answer(call.request.text) });
}

async function follow(call) {
  for (const word of call.request.text.split(" ")) call.write({ text: await answer(word) });
  call.end();
}

const asker = traceable(
  async (address) => {
    const client = new Relay(address, grpc.credentials.createInsecure(), {
      interceptors: [clientInterceptor],
    });
    const question = { text: "one tree" };
    const options = () => ({ deadline: Date.now() + 30_000 });
    const answers = [];
    await new Promise((resolve, reject) => {
      client.ask(question, options(), (error, reply) => {
        if (error) return reject(error);
        answers.push(reply.text);
        resolve();
      });
    });
    const stream = client.follow(question, options());
    const ended = once(stream, "status");
    for await (const reply of stream) answers.push(reply.text);
    await ended;
    client.close();
    return { answers, trace_id: getCurrentRunTree().trace_id };
  },
  { name: "asker" },
);

function serve(readyFile) {
  const server = new grpc.Server();
  server.addService(Relay.service, { ask: tracedUnary(ask), follow: tracedStream(follow) });
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    writeFileSync(`${readyFile}.draft`, JSON.stringify({ grpc: `127.0.0.1:${port}` }));
    renameSync(`${readyFile}.draft`, readyFile);
  });
  return new Promise((resolve) => {
    process.once("SIGTERM", () => server.tryShutdown(resolve));
  });
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === "ask") {
  console.log(JSON.stringify(await asker(rest[0])));
} else {
  await serve(rest[1]);
}
await flush();
