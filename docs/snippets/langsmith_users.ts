// SPDX-License-Identifier: Apache-2.0
// The TypeScript of docs/tracing.md; see langsmith_users.py.
import { webcrypto } from "node:crypto";
import type { Express } from "express";
// snippet: imports
import { RunTree } from "langsmith";
import { getCurrentRunTree, traceable, withRunTree } from "langsmith/traceable";
// end snippet

globalThis.crypto ??= webcrypto as Crypto; // For Node 18.

type Headers = Record<string, string>;

// snippet: traceable
const plan = traceable(async (question: string) => `think about ${question}`, {
  run_type: "llm",
  name: "plan",
  tags: ["demo"],
});
// end snippet

type Send = (question: string, headers: Headers) => Promise<string>;

// snippet: to_headers
const ask = traceable(
  async (send: Send, question: string) => {
    const headers = getCurrentRunTree().toHeaders();
    return send(question, headers);
  },
  { name: "ask" },
);
// end snippet

export function serve(app: Express) {
  // snippet: middleware
  app.use((request, response, next) => {
    const caller = RunTree.fromHeaders(request.headers as Record<string, string>);
    if (caller) withRunTree(caller, async () => next());
    else next();
  });
  // end snippet
}

async function answerBelow(headers: Headers, question: string) {
  // snippet: tracing_context
  const caller = RunTree.fromHeaders(headers)!; // there are no tags for all below
  const answer = await withRunTree(caller, () => plan(question));
  // end snippet
  return answer;
}

async function answerOnceBelow(headers: Headers, question: string) {
  // snippet: langsmith_extra
  const answer = await plan(RunTree.fromHeaders(headers)!, question);
  // end snippet
  return answer;
}

async function answerBelowRun(run: RunTree, question: string) {
  // snippet: with_run_tree
  const answer = await withRunTree(run, () => plan(question));
  // end snippet
  return answer;
}

async function continueRun(headers: Headers) {
  // snippet: from_headers
  const caller = RunTree.fromHeaders(headers)!;
  const run = caller.createChild({ name: "rerank", run_type: "tool", inputs: { k: 8 } });
  await run.postRun();
  await run.end({ ids: [3, 1] });
  await run.patchRun();
  // end snippet
  return run;
}

const headers = JSON.parse(process.argv[2]);
await answerBelow(headers, "one");
await answerOnceBelow(headers, "two");
const run = await continueRun(headers);
await answerBelowRun(run, "three");
await withRunTree(RunTree.fromHeaders(headers)!, () =>
  ask((question, sent) => plan(RunTree.fromHeaders(sent)!, question), "four"),
);
await RunTree.getSharedClient().awaitPendingTraceBatches();
