/** What a snapshot names, and who has to give it. */
import assert from "node:assert/strict";
import type { SavedMachine } from "./saved_machine.ts";
import { checkGiven, keysThatName } from "./trust.ts";

const config = {
  "machine-config": { memory_file: "/dev/shm/ram" },
  drives: [{ drive_id: "d", path_on_host: "/etc/shadow" }],
  "network-interfaces": [
    { iface_id: "n", handler: "file:///handler.ts", pcap: "/etc/cron.d/x" },
    { iface_id: "p", passt: true },
    { iface_id: "t", host_dev_name: "tap0", netns: "ns" },
  ],
  vsock: { guest_cid: 3, uds_path: "/run/s" },
  console: { main: false, sockets: [{ name: "port", path: "/run/c" }] },
  devices: [{ module: "file:///device.ts", options: { path: "/etc/passwd" } }],
};
const machine = { config } as unknown as SavedMachine;

const CODE = ["network-interfaces n: handler", "devices 0: module"];
const HOST = [
  "machine-config: memory_file",
  "drives d: path_on_host",
  "network-interfaces n: pcap",
  "network-interfaces p: passt",
  "network-interfaces t: host_dev_name",
  "network-interfaces t: netns",
  "vsock: uds_path",
  "console sockets port: path",
  "devices 0: options",
];

function missing(overrides: object, trusted: boolean): string[] {
  try {
    checkGiven(machine, overrides, trusted);
    return [];
  } catch (error) {
    const { message } = error as Error;
    assert.match(message, /^snapshot: to be given/);
    return message.replace(/.*?: .*?: /, "").split(", ").toSorted();
  }
}

Deno.test("snapshot trust: each key that names something is asked for, by its rule", () => {
  assert.deepEqual(missing({}, false), [...CODE, ...HOST].toSorted());
  const code = [...new Set(keysThatName("code"))].toSorted();
  assert.deepEqual(code, ["backend", "handler", "module"]);
});

Deno.test("snapshot trust: code is given by the caller, whatever is trusted", () => {
  assert.deepEqual(missing({}, true), CODE.toSorted());
  const given = {
    "network-interfaces": [{ iface_id: "n", handler: "mine.ts" }],
    devices: [{ module: "mine.ts" }],
  };
  assert.deepEqual(missing(given, true), []);
  assert.deepEqual(missing(given, false), HOST.toSorted());
});

Deno.test("snapshot trust: modules in whatever place are code", () => {
  const [backend, module] = ["file:///a.ts", "file:///b.ts"];
  const config = {
    drives: [{ drive_id: "d", backend, backend_options: { path: "/x" } }],
    entropy: { backend },
    vsock: { listeners: [{ port: 7, backend }] },
    console: { ports: [{ name: "p", backend }] },
    "bus-devices": [{ name: "b", module }],
  };
  const machine = { config } as unknown as SavedMachine;
  const code = [
    "bus-devices b: module",
    "console ports p: backend",
    "drives d: backend",
    "entropy: backend",
    "vsock listeners 0: backend",
  ];
  const asked = (trusted: boolean) => {
    try {
      checkGiven(machine, {}, trusted);
    } catch (error) {
      const { message } = error as Error;
      return message.replace(/.*?: .*?: /, "").split(", ").toSorted();
    }
  };
  assert.deepEqual(asked(true), code);
  const both = [...code, "drives d: backend_options"];
  assert.deepEqual(asked(false), both.toSorted());
});
