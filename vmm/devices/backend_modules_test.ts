/** Entropy, console ports and vsock listeners that are modules of the user's. */
import assert from "node:assert/strict";
import { ModulePort } from "../../devices/backends/console/port_module.ts";
import type {
  PortContext,
  PortModule,
} from "../../devices/backends/console/port_module.ts";
import { OwnCode } from "../../devices/own/code.ts";
import { EventLoop } from "../../devices/runtime/event_loop.ts";
import { make as makeConsole } from "../../devices/virtio/console/make.ts";
import { make as makeRng } from "../../devices/virtio/make_rng.ts";
import type { MakerContext } from "../../devices/virtio/maker.ts";
import { MockDriver } from "../../devices/virtio/testing/mod.ts";
import { VsockDriver } from "../../devices/virtio/testing/vsock.ts";
import { withListeners } from "../../devices/virtio/vsock/make_module.ts";
import { VsockOp } from "../../devices/virtio/vsock/spec.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { buildElf } from "../../guest/testing/mod.ts";
import type { VmConfig } from "../config/types.ts";
import { TestMachine } from "../testing/mod.ts";

const moduleOf = (body: string) =>
  `data:text/javascript,${
    encodeURIComponent(`export default class { ${body} }`)
  }`;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (text: string) => new TextEncoder().encode(text);

function context(log: string[] = []): MakerContext {
  return {
    memory: undefined!,
    vmFd: -1,
    console: undefined!,
    log: (line) => log.push(line),
    emit: () => {},
  };
}

for (
  const [how, fill] of [
    ["at once", "fill(bytes) { bytes.fill(7); }"],
    ["later", "async fill(bytes) { await null; bytes.fill(7); }"],
  ]
) {
  Deno.test(`backend modules: entropy comes ${how}`, async () => {
    const source = { module: moduleOf(fill!), options: undefined };
    const device = await makeRng({ limits: undefined, source }, context());
    using driver = new MockDriver(device);
    driver.start();
    const queue = driver.queues[0]!;
    const rooms = [driver.room(16), driver.room(300)];
    for (const room of rooms) {
      const head = queue.add([room]);
      driver.kick(0);
      let used = -1;
      await until(() => (driver.turn(), used = queue.poll()) >= 0, "bytes");
      assert.equal(used, head);
      assert.ok(queue.usedLength > 0);
      const filled = driver.bytes(room).subarray(0, queue.usedLength);
      assert.ok(filled.every((byte) => byte === 7));
    }
  });
}

for (
  const [how, fill, message] of [
    ["throws", "throw new Error('oh');", "Error: oh"],
    [
      "breaks its promise",
      "return Promise.reject(new Error('oh'));",
      "Error: oh",
    ],
    [
      "returns bytes",
      "return new Uint8Array(16);",
      "TypeError: fill returned bytes; it fills what it is given",
    ],
    ["never answers", "return new Promise(() => {});", undefined],
  ]
) {
  Deno.test(`backend modules: a guest waits for entropy that ${how}`, async () => {
    const source = {
      module: moduleOf(`fill(bytes) {
        if (this.asked) return void bytes.fill(7);
        this.asked = true;
        ${fill}
      }`),
      options: undefined,
    };
    const log: string[] = [];
    const device = await makeRng({ limits: undefined, source }, context(log));
    using driver = new MockDriver(device);
    driver.start();
    const room = driver.room(16);
    const head = driver.queues[0]!.add([room]);
    driver.kick(0);
    if (message !== undefined) { // it is asked again, in a second
      let used = -1;
      await until(() => {
        driver.turn();
        used = driver.queues[0]!.poll();
        return used >= 0;
      }, how!);
      assert.equal(used, head);
      assert.ok(driver.bytes(room).every((byte) => byte === 7));
    } else {
      await new Promise((go) => setTimeout(go, 5));
      driver.turn();
      assert.equal(driver.queues[0]!.poll(), -1);
      driver.reset();
      assert.equal(driver.status, 0);
    }
    assert.deepEqual(log, message === undefined ? [] : [`entropy: ${message}`]);
  });
}

Deno.test("backend modules: a port has bytes both ways; what is promised is waited for", async () => {
  using loop = new EventLoop();
  const log: string[] = [];
  const got: string[] = [];
  let keep = () => {};
  let port!: PortContext;
  const module: PortModule = {
    open: (context) => void (port = context),
    data(bytes) {
      got.push(text(bytes));
      if (got.length === 2) return new Promise<void>((go) => keep = go);
      if (got.length === 3) throw new Error("oh");
    },
  };
  const end = new ModulePort(
    module,
    new OwnCode("port p", import.meta.url, context(log)),
  );
  let changes = 0;
  end.attach(loop, () => void changes++);
  assert.equal(end.write(bytes("xonex"), 1, 4), 3);
  assert.equal(end.write(bytes("two"), 0, 3), 3);
  assert.equal(end.write(bytes("three"), 0, 5), 0, "it waits");
  keep();
  await until(() => changes === 1, "room");
  assert.equal(end.write(bytes("three"), 0, 5), 5);
  assert.deepEqual(got, ["one", "two", "three"]);
  assert.match(log[0]!, /^port p: Error: oh/);
  for (let n = 0; n < 30; n++) port.log(`line ${n}`);
  assert.equal(log.at(-1), "port p: line 29", "what it says itself is not cut");
  port.send(bytes("hello"));
  port.send(bytes(" there"));
  assert.equal(changes, 3);
  const room = new Uint8Array(8);
  assert.equal(text(room.subarray(0, end.read(room, 0, 8))), "hello th");
  assert.equal(text(room.subarray(1, 1 + end.read(room, 1, 8))), "ere");
  end.close();
});

Deno.test("backend modules: the main console is a module, which answers the guest", async () => {
  const module = moduleOf(`
    open(context) { this.context = context; }
    data(bytes) {
      this.context.emit("said", String.fromCharCode(...bytes));
      this.context.send(new TextEncoder().encode("root"));
    }`);
  const told: unknown[] = [];
  const device = await makeConsole(
    { main: { module, options: undefined }, ports: [] },
    { ...context(), emit: ({ device, data }) => told.push([device, data]) },
  );
  using driver = new MockDriver(device);
  driver.start({ features: [] }); // one port, which is open
  const room = driver.room(16);
  const head = driver.queues[0]!.add([room]);
  driver.kick(0);
  driver.queues[1]!.add([driver.buffer(bytes("login: "))]);
  driver.ring(1);
  assert.deepEqual(told, [["port console", "login: "]]);
  assert.equal(driver.queues[0]!.poll(), head);
  assert.equal(text(driver.bytes(room).subarray(0, 4)), "root");
});

Deno.test("backend modules: the guest's sockets reach a listener", async () => {
  using driver = new VsockDriver();
  const none = { attach: () => {}, close: () => {} };
  const module = moduleOf(`async connection(connection) {
    for await (const bytes of connection.readable) {
      await connection.write(bytes.map((byte) => byte ^ 32));
    }
  }`);
  const listeners = await withListeners(
    none as never,
    driver.path,
    [{ port: 7, module, options: undefined }],
    context(),
  );
  const ends = { srcPort: 1000, dstPort: 7 };
  driver.send({ op: VsockOp.REQUEST, ...ends });
  driver.expect({ op: VsockOp.RESPONSE });
  driver.send({ op: VsockOp.RW, ...ends, payload: bytes("hello") });
  await until(() => {
    return driver.look().some((packet) =>
      packet.op === VsockOp.RW && text(packet.payload) === "HELLO"
    );
  }, "an answer");
  driver.send({ op: VsockOp.RST, ...ends });
  listeners.close();
  assert.throws(() => Deno.statSync(`${driver.path}_7`), Deno.errors.NotFound);
  await new Promise((done) => setTimeout(done, 10)); // its connection ends
});

Deno.test(needing([KVM], {
  name:
    "backend modules: what is wrong with one is told before the start, by its name",
  async fn() {
    const kernel = buildElf({
      segments: [{ address: 0x10_0000n, bytes: Uint8Array.of(0xeb, 0xfe) }],
    });
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    const uds_path = `${dir}/v`;
    const backend = moduleOf("nothing() {}");
    const throwing = moduleOf("constructor() { throw new Error('by me'); }");
    const shut = moduleOf("fill() {} open() { throw new Error('shut'); }");
    const byMe: [Partial<VmConfig>, RegExp][] = [
      [{ entropy: { backend: throwing } }, /^entropy data:.*: Error: by me$/],
      [{ entropy: { backend: shut } }, /^entropy data:.*: Error: shut$/],
      [
        { console: { ports: [{ name: "p", backend: throwing }] } },
        /^port data:.*: Error: by me$/,
      ],
      [
        { console: { main: true, backend: throwing } },
        /^port data:.*: Error: by me$/,
      ],
      [
        {
          vsock: {
            ...{ guest_cid: 3, uds_path },
            listeners: [{ port: 7, backend: throwing }],
          },
        },
        /^listener data:.*: Error: by me$/,
      ],
    ];
    const cases: [Partial<VmConfig>, RegExp][] = [
      ...byMe,
      [{ entropy: { backend } }, /^entropy data:.*: fill is no method$/],
      [
        { console: { ports: [{ name: "p", backend }] } },
        /^port data:.*: data is no method$/,
      ],
      [
        {
          vsock: { guest_cid: 3, uds_path, listeners: [{ port: 7, backend }] },
        },
        /^listener data:.*: connection is no method$/,
      ],
      [
        { console: { ports: [{ name: "p", backend, path: "x" }] } },
        /console.ports\[0\].path: it, or backend, is needed, one of them/,
      ],
      [{ console: { ports: [{ name: "p" }] } }, /it, or backend, is needed/],
      [
        { console: { main: true, backend } },
        /^port data:.*: data is no method$/,
      ],
      [{ console: { agent: true, backend } }, /^console.backend: is the main/],
      [
        {
          vsock: {
            ...{ guest_cid: 3, uds_path },
            listeners: [{ port: 7, backend }, { port: 7, backend }],
          },
        },
        /vsock.listeners\[1\].port/,
      ],
      [
        { entropy: { backend, rate_limiter: {} } },
        /entropy.backend: has a rate of its own/,
      ],
    ];
    try {
      for (const [devices, message] of cases) {
        await assert.rejects(
          TestMachine.create({
            "boot-source": { kernel_image_path: kernel, boot_args: "" },
            "machine-config": { mem_size_mib: 8 },
            ...devices,
          }),
          (error: Error) => {
            assert.match(error.message, message);
            return true;
          },
        );
      }
      assert.deepEqual([...Deno.readDirSync(dir)], [], "nothing is left");
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
}));
