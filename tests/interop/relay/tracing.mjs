// SPDX-License-Identifier: Apache-2.0
// Carries LangSmith runs over the calls of grpc-js, the way weft does in C++: `langsmith-trace` and
// `baggage` go into the metadata, and are the parent of the server's run.
import grpc from "@grpc/grpc-js";
import { RunTree } from "langsmith";
import { getCurrentRunTree, withRunTree } from "langsmith/traceable";

const begun = [];

// A run of one side of a call. What a side says of itself is added after the headers were made.
function begin(parent, path, kind, runType) {
  const config = { name: path.slice(1), run_type: runType };
  const run = parent ? parent.createChild(config) : new RunTree(config);
  const headers = run.toHeaders();
  const [service, method] = run.name.split("/");
  run.extra.metadata = {
    ...run.extra.metadata,
    "service.name": process.env.OTEL_SERVICE_NAME,
    "rpc.system": "grpc",
    "rpc.service": service,
    "rpc.method": method,
    otel_kind: kind,
  };
  begun.push(run.postRun());
  return { run, headers };
}

function end(run, status) {
  if (run.end_time) return;
  const failed = status && status.code !== grpc.status.OK;
  const error = failed ? `${grpc.status[status.code]}: ${status.details}` : undefined;
  begun.push(run.end(undefined, error).then(() => run.patchRun()));
}

/// All runs are with the collector.
export async function flush() {
  await Promise.all(begun);
  await RunTree.getSharedClient().awaitPendingTraceBatches();
}

export function clientInterceptor(options, nextCall) {
  const { path } = options.method_definition;
  const { run, headers } = begin(getCurrentRunTree(true), path, "CLIENT", "tool");
  return new grpc.InterceptingCall(nextCall(options), {
    start(metadata, listener, next) {
      for (const [key, value] of Object.entries(headers)) if (value) metadata.set(key, value);
      next(metadata, {
        onReceiveStatus(status, nextStatus) {
          end(run, status);
          nextStatus(status);
        },
      });
    },
  });
}

function serverRun(call) {
  const parent = RunTree.fromHeaders(call.metadata.getMap());
  return begin(parent, call.getPath(), "SERVER", "chain").run;
}

/// A handler of a unary method below its caller's run.
export const tracedUnary = (handler) => (call, callback) => {
  const run = serverRun(call);
  withRunTree(run, () =>
    handler(call, (error, reply) => {
      end(run, error);
      callback(error, reply);
    }),
  );
};

/// A handler of a server-streaming method.
export const tracedStream = (handler) => (call) => {
  const run = serverRun(call);
  call.once("finish", () => end(run));
  call.once("cancelled", () => end(run, { code: grpc.status.CANCELLED, details: "by the peer" }));
  withRunTree(run, () => handler(call));
};
