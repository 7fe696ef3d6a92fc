// SPDX-License-Identifier: Apache-2.0
// Reads a run back with the SDK's own calls and prints what came.
import { webcrypto } from "node:crypto";
import { Client } from "langsmith";

// The SDK expects the global that Node has from version 19 on; Debian 12 ships 18.
globalThis.crypto ??= webcrypto;

const [id, traceId, projectName] = process.argv.slice(2);
const client = new Client();
const run = await client.readRun(id, { loadChildRuns: true });
const listed = [];
for await (const each of client.listRuns({ projectName, traceId })) listed.push(each.name);
const roots = [];
for await (const each of client.listRuns({ projectName, isRoot: true })) roots.push(each.id);
const project = await client.readProject({ projectName });
console.log(JSON.stringify({ run, listed, roots, project: project.name }));
