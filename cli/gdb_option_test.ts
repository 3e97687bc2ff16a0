/** `--gdb`: where, and nothing but this host's own. */
import assert from "node:assert/strict";
import { parseGdb } from "./gdb_option.ts";

Deno.test("--gdb: sockets and loopback ports, waiting or not", () => {
  const hostname = "127.0.0.1";
  const table: [string, unknown][] = [
    ["unix", { wait: false }],
    ["unix,wait", { wait: true }],
    ["unix:/run/x", { address: { path: "/run/x" }, wait: false }],
    ["unix:a,,b,wait", { address: { path: "a,b" }, wait: true }],
    ["1234", { address: { hostname, port: 1234 }, wait: false }],
    [":0,wait", { address: { hostname, port: 0 }, wait: true }],
    ["[::1]:9", { address: { hostname: "::1", port: 9 }, wait: false }],
    ["localhost:9", {
      address: { hostname: "localhost", port: 9 },
      wait: false,
    }],
  ];
  for (const [text, expected] of table) {
    assert.deepEqual(parseGdb(text), expected, text);
  }
  assert.equal(parseGdb(undefined), undefined);
});

Deno.test("--gdb: anything else gets a line", () => {
  const table: [string, RegExp][] = [
    ["", /^--gdb : not of the form unix, unix:PATH, PORT/],
    ["unix:", /not of the form/],
    ["70000", /a port is at most 65535$/],
    ["1234,wiat", /unknown word "wiat"; did you mean "wait"\?/],
    ["0.0.0.0:1", /only on 127\.0\.0\.1, ::1, localhost: who gets there/],
    ["[::]:1", /only on /],
    ["10.0.0.1:1234", /by ssh -L 1234:localhost:1234$/],
    ["/run/x", /not of the form/],
  ];
  for (const [text, message] of table) {
    assert.throws(() => parseGdb(text), { name: "VireoError", message });
  }
});
