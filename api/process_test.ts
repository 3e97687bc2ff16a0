/** `bin/firecracker` as launchers have it: a guest, ends, and output. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { ECHOES, HI } from "../vmm/testing/tiny_guest.ts";
import { ApiProcess } from "./testing/process.ts";
import type { Client } from "./testing/client.ts";
import { FIRECRACKER_VERSION } from "./version.ts";

const PAYLOAD =
  new URL("../images/payload/payload.elf", import.meta.url).pathname;
const START = { action_type: "InstanceStart" };

/** Says what machine it is to be, and starts it. */
async function start(client: Client, kernel: string, args?: string) {
  for (
    const [path, body] of [
      ["/machine-config", { vcpu_count: 1, mem_size_mib: 16 }],
      ["/boot-source", { kernel_image_path: kernel, boot_args: args ?? "" }],
      ["/actions", START],
    ] as const
  ) {
    const { status, body: text } = await client.ask("PUT", path, body);
    assert.equal(status, 204, text);
  }
}

Deno.test(needing([KVM], {
  name:
    "bin/firecracker: a guest with disk is made and runs through the socket, and its reset is exit 0",
  async fn() {
    await using process = new ApiProcess({
      launcher: true,
      args: ["--id", "vm-1", "--no-seccomp", "--start-time-us", "1"],
    });
    const client = await process.client();
    const { pid } = process.child;
    assert.equal(Deno.readTextFileSync(`/proc/${pid}/comm`), "firecracker\n");
    assert.deepEqual(JSON.parse((await client.ask("GET", "/")).body), {
      id: "vm-1",
      state: "Not started",
      vmm_version: FIRECRACKER_VERSION,
      app_name: "Firecracker",
    });
    const disk = process.file("disk.img", new Uint8Array(1 << 20));
    const body = { drive_id: "d", path_on_host: disk, is_root_device: false };
    assert.equal((await client.ask("PUT", "/drives/d", body)).status, 204);
    const uds_path = `${process.folder}/v.sock`;
    await client.done("PUT", "/vsock", { guest_cid: 3, uds_path });
    await start(client, PAYLOAD, "hello");
    assert.equal(await process.end(), 0);
    for (const path of [process.path, uds_path]) {
      assert.ok(Deno.statSync(path).isSocket, "clients remove it themselves");
    }
    assert.match(process.stdout, /^payload: hello$/m);
    for (
      const line of [
        `Running Firecracker v${FIRECRACKER_VERSION}`,
        `Listening on API socket ("${process.path}").`,
        "API server started.",
        'The API server received a Put request on "/actions" with body ' +
        `"${JSON.stringify(START)}".`,
        "The request was executed successfully. Status code: 204 No Content.",
        "Firecracker exiting successfully. exit_code=0",
      ]
    ) {
      const [found] = process.stdout.split("\n")
        .filter((one) => one.endsWith(`] ${line}`));
      assert.match(
        found ?? `none says ${line}`,
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9} \[vm-1:(main|fc_api)\] /,
      );
    }
    assert.equal(process.stderr, "");
  },
}));

Deno.test(needing([KVM], {
  name:
    "bin/firecracker: pause, resume, states; what is typed; SIGTERM kills it as a signal",
  async fn() {
    await using process = new ApiProcess();
    const client = await process.client();
    const state = async () =>
      JSON.parse((await client.ask("GET", "/")).body).state;
    await start(client, process.file("kernel", ECHOES));
    await process.until(() => process.stdout.includes("hi"), "hi");
    assert.equal(await state(), "Running");
    for (
      const [word, wanted] of [["Paused", "Paused"], ["Resumed", "Running"]]
    ) {
      for (let times = 0; times < 2; times++) {
        const { status } = await client.ask("PATCH", "/vm", { state: word });
        assert.equal(status, 204);
        assert.equal(await state(), wanted);
      }
    }
    const writer = process.child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("typed"));
    writer.releaseLock();
    await process.until(() => process.stdout.includes("typed"), "an echo");
    process.child.kill("SIGTERM");
    assert.equal(await process.end(), "SIGTERM");
  },
}));

Deno.test(needing([KVM], {
  name:
    "bin/firecracker: a start that fails is 400, and the next one may be right",
  async fn() {
    await using process = new ApiProcess();
    const client = await process.client();
    const kernel = process.file("kernel", "no kernel");
    const source = { kernel_image_path: kernel, boot_args: "" };
    const disk = process.file("disk.img", new Uint8Array(1 << 20));
    const drive = { drive_id: "d", path_on_host: disk, is_root_device: true };
    assert.equal((await client.ask("PUT", "/drives/d", drive)).status, 204);
    assert.equal((await client.ask("PUT", "/boot-source", source)).status, 204);
    const { status, body } = await client.ask("PUT", "/actions", START);
    assert.equal(status, 400);
    assert.match(body, /^{"fault_message":"Start microvm error: .*kernel/);
    const { state } = JSON.parse((await client.ask("GET", "/")).body);
    assert.equal(state, "Not started");
    const bytes = process.file("good", HI);
    await start(client, bytes);
    await process.until(() => process.stdout.includes("hi"), "hi");
  },
}));

Deno.test("bin/firecracker: versions and help on standard output, and exit 0", async () => {
  for (
    const [args, text] of [
      [["--version"], `Firecracker v${FIRECRACKER_VERSION}\n\n`],
      [["--nonsense", "--version"], `Firecracker v${FIRECRACKER_VERSION}\n\n`],
      [["--snapshot-version"], "v11.0.0\n"],
    ] as const
  ) {
    await using process = new ApiProcess({ bare: true, args: [...args] });
    assert.equal(await process.end(), 0);
    assert.deepEqual([process.stdout, process.stderr], [text, ""]);
  }
});

Deno.test("bin/firecracker: a wrong command line ends with the code that launchers know", async () => {
  const occupied = Deno.makeTempFileSync();
  const rows: [number, RegExp, string[]][] = [
    [153, /'nonsense' which wasn't expected/, ["--nonsense"]],
    [153, /'id' requires a value/, ["--id"]],
    [153, /'id' requires a value/, ["--id", "--no-seccomp"]],
    [153, /'id' was provided more than once/, ["--id", "a", "--id", "b"]],
    [153, /cannot be used together/, ["--no-seccomp", "--seccomp-filter", "f"]],
    [153, /'config-file' required/, ["--no-api"]],
    [134, /Invalid instance ID "a_b"/, ["--id", "a_b"]],
    [134, /'start-time-us' is no number/, ["--start-time-us", "x"]],
    [152, /Invalid log level: Loud/, ["--level", "Loud"]],
    [1, /No such file or directory \(os error 2\)/, ["--log-path", "/no/log"]],
    [1, /Check that it is not already used\./, ["--api-sock", occupied]],
  ];
  const results = await Promise.all(rows.map(async ([code, text, args]) => {
    await using process = new ApiProcess({ bare: true, args });
    assert.equal(await process.end(), code, args.join(" "));
    assert.match(process.stderr, text);
    assert.equal(process.stderr.split("\n").length, 2);
  }));
  assert.equal(results.length, rows.length);
  assert.ok(Deno.statSync(occupied).isFile, "it is still there");
  Deno.removeSync(occupied);
});

Deno.test(needing([KVM], {
  name:
    "bin/firecracker: log and metrics in FIFOs that nobody reads yet; SIGHUP writes a line, and is exit 156",
  async fn() {
    await using process = new ApiProcess({
      args: [
        ...["--log-path", "log", "--level", "debug", "--show-level"],
        ...["--metrics-path", "metrics"],
      ],
      files: (process) => {
        const paths = ["log", "metrics"].map((one) =>
          `${process.folder}/${one}`
        );
        new Deno.Command("mkfifo", { args: paths }).outputSync();
        return {};
      },
    });
    const client = await process.client();
    const lines = ["log", "metrics"].map((name) => {
      const options = { read: true, write: true };
      return Deno.openSync(`${process.folder}/${name}`, options);
    });
    const read = async (file: Deno.FsFile) => {
      const bytes = new Uint8Array(65_536);
      const count = await file.read(bytes);
      return new TextDecoder().decode(bytes.subarray(0, count ?? 0));
    };
    await start(client, process.file("kernel", HI));
    // All of it: a guest may be stopped in the middle of a line.
    await process.until(() => process.stdout.includes("hi\n"), "hi");
    assert.match(await read(lines[0]!), /:main:INFO\] Running Firecracker v/);
    const first = JSON.parse(await read(lines[1]!));
    assert.equal(first.put_api_requests.boot_source_count, 1);
    process.child.kill("SIGHUP");
    assert.equal(await process.end(), 156);
    const last = JSON.parse(await read(lines[1]!));
    assert.ok(last.utc_timestamp_ms >= first.utc_timestamp_ms);
    assert.equal(process.stdout, "hi\n", "the console has it for itself");
    for (const file of lines) file.close();
  },
}));

Deno.test(needing([KVM], {
  name: "bin/firecracker: a machine from a file, with and without a socket",
  async fn() {
    const config = (process: ApiProcess, kernel: Uint8Array) =>
      JSON.stringify({
        "boot-source": {
          kernel_image_path: process.file("kernel", kernel),
          boot_args: "",
        },
        drives: [],
        "machine-config": { vcpu_count: 1, mem_size_mib: 16 },
        "cpu-config": "cpu.json",
        "of no meaning": true,
      });
    const cpu = '{"kvm_capabilities":["!56"]}';
    await using without = new ApiProcess({
      bare: true,
      args: ["--no-api", "--config-file", "vm.json"],
      files: (process) => ({
        "vm.json": config(process, HI),
        "cpu.json": cpu,
      }),
    });
    await without.until(() => without.stdout.includes("hi"), "hi");
    await using process = new ApiProcess({
      args: ["--config-file", "vm.json"],
      files: (process) => ({
        "vm.json": config(process, HI),
        "cpu.json": cpu,
      }),
    });
    const client = await process.client();
    await process.until(() => process.stdout.includes("hi"), "hi");
    const { body } = await client.ask("GET", "/machine-config");
    assert.equal(JSON.parse(body).mem_size_mib, 16);
  },
}));

Deno.test("bin/firecracker: a file that is wrong ends it, and says what is", async () => {
  const rows: [number, RegExp, string | undefined][] = [
    [134, /No such file or directory \(os error 2\)/, undefined],
    [1, /JSON/, "{"],
    [1, /missing field `boot-source`/, "{}"],
    [
      1,
      /The kernel file cannot be opened/,
      '{"boot-source":{"kernel_image_path":"/none"},"drives":[]}',
    ],
    [
      1,
      /No such file or directory \(os error 2\)/,
      '{"boot-source":{"kernel_image_path":"/dev/null"},"cpu-config":"/none",' +
      '"drives":[]}',
    ],
    [
      1,
      /unknown variant `ezx`, expected one of `eax`, `ebx`, `ecx`, `edx`/,
      '{"boot-source":{"kernel_image_path":"/dev/null"},"cpu-config":' +
      '{"cpuid_modifiers":[{"leaf":"0x77","subleaf":"0x0","flags":0,' +
      '"modifiers":[{"register":"ezx","bitmap":"0b1"}]}]},"drives":[]}',
    ],
    [
      1,
      /unknown field `x`/,
      '{"boot-source":{"kernel_image_path":"/dev/null","x":1},"drives":[]}',
    ],
  ];
  await Promise.all(rows.map(async ([code, text, content]) => {
    const path = Deno.makeTempFileSync();
    if (content === undefined) Deno.removeSync(path);
    else Deno.writeTextFileSync(path, content);
    await using process = new ApiProcess({
      bare: true,
      args: ["--no-api", "--config-file", path],
    });
    assert.equal(await process.end(), code);
    assert.match(process.stderr, text);
    if (content !== undefined) Deno.removeSync(path);
  }));
});
