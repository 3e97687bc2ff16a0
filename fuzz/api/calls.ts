/**
 * Random calls of the API beside a guest that works: good ones, spoiled ones,
 * and bytes that are no request. Whatever comes, each is answered with a status
 * that the API has, the process lives, and the guest goes on counting right.
 *
 * @module
 */
import assert from "node:assert/strict";
import { TABLE } from "../../api/endpoints/table.ts";
import type { Schema } from "../../api/body/shape.ts";
import { Client, request } from "../../api/testing/client.ts";
import { ApiProcess } from "../../api/testing/process.ts";
import { Random } from "../../guest/testing/random.ts";
import { until } from "../../ffi/testing/until.ts";
import { COUNTS } from "../../vmm/testing/tiny_guest.ts";
import type { More } from "../campaign.ts";

/** What was answered, by status. */
export type Statuses = Record<number, number>;

/** What ends the guest's counting, or makes ever more machines. */
const WITHOUT = ["stop", "reset", "fork"];
const CALLS = TABLE.filter(({ segment, rest }) =>
  segment !== "vireo" || !WITHOUT.includes(rest![0]!)
);

const STATUSES = [100, 200, 204, 400, 413];
const STRAYS = ["/nope", "//", "/drives", "/balloon/x", "/snapshot/x", "*"];
const ODD: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 256, 2 ** 32, 1e300, "", "x", "\u00e9", [], {}],
  ...["/none", "/dev/null", "None", "Paused", "Resumed", "x".repeat(2000)],
];

/**
 * Calls until `more` says no.
 *
 * @param more is asked before each call, with their number
 */
export async function randomCalls(
  seed: number,
  more: More,
): Promise<Statuses> {
  const random = new Random(seed);
  await using process = new ApiProcess({ args: ["--level", "Off"] });
  const client = await process.client();
  await started(process, client);
  const statuses: Statuses = {};
  const clients: Client[] = [client];
  for (let calls = 0; more(calls); calls++) {
    if (random.oneIn(50)) await another(random, process, clients);
    const bytes = call(random, process.folder);
    try {
      const status = await answered(random.of(clients), bytes);
      statuses[status] = (statuses[status] ?? 0) + 1;
    } catch (error) {
      throw new Error(`seed ${seed}, call ${calls}: ${bytes}`, {
        cause: error,
      });
    }
  }
  await goesOn(process, client);
  for (const one of clients) one[Symbol.dispose]();
  return statuses;
}

async function started(process: ApiProcess, client: Client): Promise<void> {
  const drive = {
    drive_id: "d",
    path_on_host: process.file("d.img", new Uint8Array(1 << 20)),
    is_root_device: false,
  };
  const kernel = process.file("kernel", COUNTS);
  for (
    const [path, body] of [
      ["/machine-config", { vcpu_count: 1, mem_size_mib: 16 }],
      ["/boot-source", { kernel_image_path: kernel, boot_args: "" }],
      ["/drives/d", drive],
      ["/balloon", { amount_mib: 0, deflate_on_oom: true }],
      ["/vsock", { guest_cid: 3, uds_path: "v.sock" }],
      ["/actions", { action_type: "InstanceStart" }],
    ] as const
  ) {
    const { status, body: text } = await client.ask("PUT", path, body);
    assert.equal(status, 204, text);
  }
}

/** The guest prints each byte one more than the last; from here on, too. */
async function goesOn(process: ApiProcess, client: Client): Promise<void> {
  await client.ask("PATCH", "/vm", { state: "Resumed" });
  const before = process.bytes;
  await until(() => process.bytes > before + 1000, "more of the guest");
  assert.equal(process.miscounted, 0, "bytes that are not the next");
}

/** More connections, fewer, or one in the middle of something. */
async function another(
  random: Random,
  process: ApiProcess,
  clients: Client[],
): Promise<void> {
  if (clients.length > 3) clients.pop()![Symbol.dispose]();
  else clients.push(await Client.connect(process.path));
  if (!random.oneIn(4)) return;
  const hostile = await Client.connect(process.path);
  await hostile.send("PUT /machine-config HTTP/1.1\r\nContent-Length: 9\r\n");
  hostile[Symbol.dispose]();
}

async function answered(client: Client, bytes: string): Promise<number> {
  await client.send(bytes);
  const { status, body } = await client.answer();
  assert.ok(STATUSES.includes(status), `${status} ${body}`);
  if (status === 400 || status === 413) {
    assert.match(body, /^\{ ?"(fault_message|error)": ?"/);
    assert.doesNotMatch(body, /Internal error: /);
  }
  return status;
}

function call(random: Random, folder: string): string {
  const row = random.of([...CALLS]);
  if (random.oneIn(20)) return "HEAD / HTTP/1.1\r\n\r\n";
  const more = row.rest === "id" ? [random.of(["d", "e", "a-b"])] : row.rest;
  const path = random.oneIn(20)
    ? random.of(STRAYS)
    : `/${[row.segment, ...more ?? []].join("/")}`;
  // A snapshot goes where it may.
  const body = row.body && !random.oneIn(15)
    ? value(random, row.body.schema, folder)
    : random.oneIn(15)
    ? random.of([...ODD])
    : undefined;
  return request(
    row.method,
    path,
    body === undefined ? body : spoiled(
      random,
      JSON.stringify(body),
    ),
  );
}

/** A value of this kind, or not quite. */
function value(random: Random, schema: Schema, folder: string): unknown {
  if (random.oneIn(25)) return random.of([...ODD]);
  if (schema["enum"]) return random.of([...schema["enum"] as unknown[]]);
  switch (schema["type"]) {
    case "object": {
      const required = schema["required"] as string[] ?? [];
      const properties = schema["properties"] as Record<string, Schema>;
      return Object.fromEntries(
        Object.entries(properties)
          .filter(([key]) => required.includes(key) || random.oneIn(2))
          .map(([key, inner]) => [key, member(random, key, inner, folder)]),
      );
    }
    case "array":
      return [value(random, schema["items"] as Schema, folder)];
    case "integer":
      return random.of([0, 1, 2, 8, 16, 128, 1000]);
    case "boolean":
      return random.oneIn(2);
    default:
      return random.of(["d", "e", "text", `${folder}/d.img`]);
  }
}

function member(
  random: Random,
  key: string,
  schema: Schema,
  folder: string,
): unknown {
  if (key === "snapshot_path") return `${folder}/vm.state`;
  if (key === "trace_path") return `${folder}/trace`;
  if (key === "mem_file_path") return `${folder}/vm.memory`;
  if (key.endsWith("_id")) return random.of(["d", "e"]);
  if (key === "path_on_host") {
    return random.of([`${folder}/d.img`, "/none", "/dev/null"]);
  }
  return value(random, schema, folder);
}

function spoiled(random: Random, text: string): string {
  if (!random.oneIn(20)) return text;
  const at = random.below(text.length + 1);
  return random.oneIn(2) ? text.slice(0, at) : `${text.slice(0, at)}}`;
}
