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
  assert.deepEqual(keysThatName("code"), ["handler", "module"]);
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
