/** The examples of docs/lab.md do what is said of them there. */
import assert from "node:assert/strict";
import { OwnCode } from "../../devices/own/code.ts";
import { guarded } from "../../devices/virtio/own_device.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { buildElf } from "../../guest/testing/mod.ts";
import { ScratchFile, TestMachine } from "../../vmm/testing/mod.ts";
import { MockDriver } from "../../devices/virtio/testing/mod.ts";
import { type Drive, type OwnEvent, readPayload } from "../../mod.ts";
import Drip from "./drip.ts";

/** For devices without a machine: `told` is what they log and emit. */
function code(name: string, told: unknown[]): OwnCode {
  return new OwnCode(name, import.meta.url, {
    memory: undefined!,
    vmFd: -1,
    console: undefined!,
    log: (line) => told.push(line),
    emit: (event) => told.push(event),
  });
}

Deno.test("lab: the dripping entropy device gives its bytes by the clock, and tells", () => {
  const told: OwnEvent[] = [];
  const drip = new Drip({ bytes: 4, ms: 1 });
  using driver = new MockDriver(guarded(drip, code("drip", told)));
  driver.start();
  const queue = driver.queues[0]!;
  const heads = [queue.add([driver.room(16)]), queue.add([driver.room(16)])];
  driver.ring(0);
  assert.equal(queue.poll(), -1, "not yet");
  driver.until(() => told.length === 2, "two drops");
  for (const head of heads) {
    assert.equal(queue.poll(), head);
    assert.equal(queue.usedLength, 4);
  }
  assert.deepEqual(
    told.map(({ device, name, data }) => [device, name, data]),
    Array(2).fill(["drip", "drop", { bytes: 4 }]),
  );
  driver.reset();
});

const example = (name: string) => import.meta.resolve(`./${name}`);

Deno.test(needing([KVM], {
  name: "lab: a counter on the vCPU and a panel of LEDs, by ports",
  async fn() {
    const kernel = buildElf({
      segments: [{
        address: 0x10_0000n,
        bytes: Uint8Array.of(
          ...[0x66, 0xba, 0x00, 0x03, 0xee, 0xee, 0xec], // dx = 0x300; out, out, in
          ...[0x04, 0x7f, 0x66, 0xba, 0x08, 0x03, 0xee], // al += 0x7f; to 0x308
          ...[0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe], // reset
        ),
      }],
    });
    await using test = await TestMachine.create({
      "boot-source": { kernel_image_path: kernel, boot_args: "" },
      "machine-config": { mem_size_mib: 8 },
      "bus-devices": [
        { module: example("leds.ts"), name: "leds", port: 1, address: 0x308 },
        {
          ...{ module: example("counter.ts"), port: 1, address: 0x300 },
          ...{ thread: "vcpu", shared: 4 },
        },
      ],
    });
    const { end, log } = await test.run();
    assert.equal(end.reason, "reset", end.message);
    assert.deepEqual(log, ["leds: ● ○ ○ ○ ○ ○ ○ ●"]);
    assert.deepEqual(test.events.map(({ data }) => data), [0x81]);
  },
}));

/** What the payload prints of its disks, in these modes. */
async function payload(
  words: string,
  drives: Partial<Drive>[],
): Promise<{ output: string; log: string[] }> {
  await using test = await TestMachine.create({
    "boot-source": { kernel_image_path: await readPayload(), boot_args: words },
    "machine-config": { mem_size_mib: 16 },
    drives: drives.map((drive, index) => ({
      ...{ drive_id: `disk${index}`, is_root_device: false },
      ...drive,
    })),
  });
  const { end, output, log } = await test.run();
  assert.equal(
    end.reason,
    "reset",
    `${end.message}\n${output}\n${log.join("\n")}`,
  );
  return { output, log };
}

Deno.test(needing([KVM], {
  name:
    "lab: computed sectors, an overlay in memory, and an encrypted image are disks",
  async fn() {
    using base = new ScratchFile(1 << 20);
    using secret = new ScratchFile(1 << 20);
    const { output, log } = await payload("demo keep", [
      { backend: example("sectors.ts"), backend_options: { sectors: 2048 } },
      { backend: example("overlay.ts"), backend_options: { path: base.path } },
      {
        backend: example("encrypted.ts"),
        backend_options: { path: secret.path, key: "correct horse" },
      },
    ]);
    assert.match(output, /payload: ok/, log.join("\n"));
    assert.deepEqual(log, []);
    // "sector 0", and the disk has no write.
    assert.match(output, /blk0: 1 MiB, read-only/);
    assert.match(
      output,
      /blk0: sector 0 read \(\w+\): 73 65 63 74 6f 72 20 30/,
    );
    const written = (path: string) =>
      Deno.readFileSync(path).some((byte) => byte !== 0);
    assert.equal(written(base.path), false, "the file is as it was");
    assert.equal(written(secret.path), true);
    const plain = (await payload("demo keep", [{ path_on_host: secret.path }]))
      .output.match(/sector 0 read.*: (.*)/)![1];
    const read = (await payload("demo keep", [{
      backend: example("encrypted.ts"),
      backend_options: { path: secret.path, key: "correct horse" },
    }])).output.match(/sector 0 read.*: (.*)/)![1];
    assert.notEqual(read, plain);
  },
}));

/** A server of `bytes`, which answers ranges; `odd` may answer instead. */
function serve(
  bytes: Uint8Array<ArrayBuffer>,
  odd: (url: URL, first: number) => Response | undefined = () => undefined,
) {
  const asked: number[] = [];
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => {
      const url = new URL(request.url);
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(
        request.headers.get("range")!,
      )!.map(Number);
      asked.push(first!);
      const range = `bytes ${first}-${last}/${bytes.length}`;
      return odd(url, first!) ?? new Response(bytes.slice(first, last! + 1), {
        status: 206,
        headers: { "content-range": range },
      });
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}/disk`;
  return { asked, url, [Symbol.asyncDispose]: () => server.shutdown() };
}

Deno.test(needing([KVM], {
  name:
    "lab: a disk over HTTP asks for each range once, and takes no answer for another",
  async fn() {
    const bytes = new Uint8Array(256 * 1024).map((_, i) => i >> 9);
    const disk = (url: string) =>
      // With all four blocks asked for before any time is over.
      payload("demo bench=blk-seqread bs=64K qd=4 ms=20", [{
        backend: example("http_disk.ts"),
        backend_options: { url },
      }]);
    {
      await using server = serve(
        bytes,
        ({ pathname, search }) =>
          pathname === "/disk" && search === ""
            ? new Response(null, {
              status: 302,
              headers: { location: "/disk?now" },
            })
            : undefined,
      );
      const { output, log } = await disk(server.url);
      assert.match(output, /payload: ok/, log.join("\n"));
      assert.match(output, /blk0: 256 KiB, read-only/);
      // The size, and four blocks; each was led on.
      const asked = [0, 0, 65536, 131072, 196608].flatMap((at) => [at, at]);
      assert.deepEqual(server.asked.toSorted((a, b) => a - b), asked);
    }
    const wrong: Record<string, [(first: number) => Response, RegExp]> = {
      "the whole": [() => new Response(bytes), /status 200, not the range/],
      "another range": [
        () =>
          new Response("x", {
            status: 206,
            headers: { "content-range": "bytes 5-5/9" },
          }),
        /status 206, not the range/,
      ],
      "too little": [
        () =>
          new Response("", {
            status: 206,
            headers: { "content-range": "bytes 0-0/512" },
          }),
        /: Error: 0 bytes/,
      ],
      "too much": [
        () =>
          new Response("xxx", {
            status: 206,
            headers: { "content-range": "bytes 0-0/512" },
          }),
        /too many bytes/,
      ],
      "another host": [
        () =>
          new Response(null, {
            status: 302,
            headers: { location: "http://localhost:1/" },
          }),
        /redirected to http:\/\/localhost:1\//,
      ],
      "no disk's size": [
        () =>
          new Response("x", {
            status: 206,
            headers: { "content-range": "bytes 0-0/100" },
          }),
        /size 100 is no multiple of 512/,
      ],
    };
    for (const [what, [answer, message]] of Object.entries(wrong)) {
      await using server = serve(bytes, (_, first) => answer(first));
      await assert.rejects(disk(server.url), (error: Error) => {
        assert.match(error.message, message, what);
        assert.match(error.message, /^disk file:.*http_disk.ts: /, what);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      });
    }
    await using late = serve(
      bytes,
      (_, first) =>
        first === 0 ? undefined : new Response(null, { status: 500 }),
    );
    const { output, log } = await disk(late.url);
    assert.match(output, /payload: FAILED/);
    assert.match(log[0]!, /^disk0: Error: status 500, not the range/);
  },
}));

Deno.test(needing([KVM], {
  name: "lab: faults by rules are told, the same for the same seed",
  async fn() {
    const run = async (seed: string) => {
      const args = ["run", "-A", "--no-check", example("faults.ts"), seed];
      // On stderr, where the guest's output does not break into a line.
      const { stderr } = await new Deno.Command(Deno.execPath(), { args })
        .output();
      const lines = new TextDecoder().decode(stderr).split("\n");
      return lines.filter((line) => line.startsWith("disk fault "));
    };
    const [first, again] = await Promise.all([run("7"), run("7")]);
    assert.ok(first.length >= 4, `${first.length} faults`);
    assert.match(first[0]!, /"effect":"error","n":1,"offset":0,"length":512/);
    assert.deepEqual(first, again);
  },
}));

Deno.test(needing([KVM], {
  name: "lab: a disk that extends the built-in one has an arm",
  async fn() {
    using image = new ScratchFile(1 << 20);
    await using test = await TestMachine.create({
      "boot-source": { kernel_image_path: await readPayload() },
      "machine-config": { mem_size_mib: 16 },
      devices: [{
        ...{ module: example("seek_disk.ts"), name: "arm" },
        options: { path: image.path },
      }],
    });
    const { output, log } = await test.run();
    assert.match(output, /payload: ok/);
    assert.deepEqual(log, []);
    assert.ok(test.events.length > 10, `${test.events.length} seeks`);
    assert.ok(
      test.events.every(({ device, name }) =>
        device === "arm" && name === "seek"
      ),
    );
  },
}));

Deno.test(needing([KVM], {
  name: "lab: what was found in a driver comes again by a command",
  async fn() {
    const changes = [
      { answer: 10, offset: 0, bytes: [254] },
      { answer: 21, offset: 6, bytes: [255, 255] },
    ];
    const args = ["run", "-A", "--no-check", example("fuzz.ts")];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args, JSON.stringify(changes)],
    }).output();
    const [told, log] = [stdout, stderr].map((bytes) =>
      new TextDecoder().decode(bytes)
    );
    assert.match(told!, /says .exception.*\n.*exception 14, error 0x6,/, log);
  },
}));

Deno.test("lab: docs/lab.md shows the files as they are, each in 30 lines of code at most", () => {
  const text = Deno.readTextFileSync(
    new URL("../../docs/lab.md", import.meta.url),
  );
  const shown = [
    ...text.matchAll(/^`examples\/lab\/(\S+)`:\n\n```ts\n(.*?)```/gms),
  ];
  assert.ok(shown.length > 0);
  for (const [, name, code] of shown) {
    const url = new URL(name!, import.meta.url);
    assert.equal(code, Deno.readTextFileSync(url), name);
    const lines = code!.split("\n").filter((line) =>
      /^(?!\/\*\*|import )./.test(line)
    );
    assert.ok(lines.length <= 30, `${name} has ${lines.length} lines`);
  }
});
