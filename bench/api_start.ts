/**
 * `bin/firecracker` from its start on, beside an empty Deno program in the same
 * run: `deno run -A bench/api_start.ts [RUNS]`. Times are medians from the exec
 * on, in milliseconds; the launcher's shell is a part of them.
 *
 * - socket: somebody listens
 * - started: the answer to InstanceStart, all requests before it included
 * - printed: the guest's first byte
 *
 * @module
 */
import { Client } from "../api/testing/client.ts";
import { HI } from "../vmm/testing/tiny_guest.ts";

const BINARY = new URL("../bin/firecracker", import.meta.url).pathname;
/** When an idle process is at rest, in milliseconds. */
const REST = 1500;
const [runs = 11] = Deno.args.map(Number);

const folder = Deno.makeTempDirSync({ prefix: "vireo-bench-" });
Deno.writeFileSync(`${folder}/kernel`, HI);
Deno.writeTextFileSync(`${folder}/prints.ts`, "console.log('x')");
Deno.writeTextFileSync(`${folder}/waits.ts`, "setInterval(() => {}, 1e6)");

type Times = Record<string, number[]>;
const times: Times = {};

function took(what: string, since: number): void {
  (times[what] ??= []).push(performance.now() - since);
}

function start(program: string, args: string[]): Deno.ChildProcess {
  const stdio = { stdin: "null", stdout: "piped", stderr: "inherit" } as const;
  return new Deno.Command(program, { args, cwd: folder, ...stdio }).spawn();
}

async function end(child: Deno.ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await child.stdout.cancel().catch(() => {});
  await child.status;
}

/** An empty program from its start to its first byte. */
async function deno(): Promise<void> {
  const since = performance.now();
  const child = start(Deno.execPath(), ["run", "--quiet", "prints.ts"]);
  await child.stdout.getReader().read();
  took("deno, a byte", since);
  await child.status; // it ends by itself
}

async function connected(path: string): Promise<Client> {
  for (;;) {
    try {
      return await Client.connect(path);
    } catch {
      await new Promise((done) => setTimeout(done, 1));
    }
  }
}

/** A machine from the start of its process to its guest's first byte. */
async function machine(run: number): Promise<void> {
  const path = `${folder}/${run}.socket`;
  const since = performance.now();
  const args = ["--api-sock", path, "--level", "Off"];
  const child = start(BINARY, args);
  const printed = child.stdout.getReader().read();
  using client = await connected(path);
  took("api, socket", since);
  for (
    const [uri, body] of [
      ["/machine-config", { vcpu_count: 1, mem_size_mib: 128 }],
      ["/boot-source", { kernel_image_path: "kernel", boot_args: "" }],
      ["/actions", { action_type: "InstanceStart" }],
    ] as const
  ) {
    const { status, body: text } = await client.ask("PUT", uri, body);
    if (status !== 204) throw new Error(text);
  }
  took("api, started", since);
  await printed;
  took("api, printed", since);
  child.kill("SIGKILL");
  await child.status;
}

/** Resident memory of a process at rest, in MiB. */
async function memory(child: Deno.ChildProcess): Promise<number> {
  await new Promise((done) => setTimeout(done, REST));
  const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
  await end(child);
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) / 1024;
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

for (let run = 0; run < runs; run++) {
  await deno();
  await machine(run);
}
const empty = median(times["deno, a byte"]!);
for (const [what, all] of Object.entries(times)) {
  const time = median(all);
  console.log(
    `${what.padEnd(14)} ${time.toFixed(1).padStart(7)} ms, ` +
      `${(time / empty).toFixed(2)} of an empty program`,
  );
}
const idle = start(Deno.execPath(), ["run", "--quiet", "waits.ts"]);
const [plain, api] = [
  await memory(idle),
  await memory(start(BINARY, ["--api-sock", `${folder}/idle.socket`])),
];
console.log(
  `memory at rest ${api.toFixed(1)} MiB, ` +
    `${(api / plain).toFixed(2)} of an empty program's ${plain.toFixed(1)} MiB`,
);
Deno.removeSync(folder, { recursive: true });
