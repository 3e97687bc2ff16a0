/** Words of the command line. */
import assert from "node:assert/strict";
import { VireoError } from "../ffi/vireo_error.ts";
import { parseBalloon, parseConsole } from "./options.ts";

Deno.test("--balloon: a size, and what else it is to do", () => {
  assert.deepEqual(parseBalloon("64"), {
    amount_mib: 64,
    deflate_on_oom: false,
  });
  assert.deepEqual(parseBalloon("0,oom,stats=5,reporting,hinting"), {
    amount_mib: 0,
    deflate_on_oom: true,
    stats_polling_interval_s: 5,
    free_page_reporting: true,
    free_page_hinting: true,
  });
  for (const text of ["", "x", "64,pop", "64,stats=", "64,stats=x"]) {
    assert.throws(() => parseBalloon(text), VireoError, text);
  }
});

Deno.test("--console and --port: a device only when there is something for it", () => {
  assert.deepEqual(parseConsole("serial"), {});
  assert.deepEqual(parseConsole("virtio"), {
    console: { main: true, ports: [] },
  });
  assert.deepEqual(parseConsole(undefined, ["a=/tmp/x=y"]), {
    console: { main: false, ports: [{ name: "a", path: "/tmp/x=y" }] },
  });
  assert.throws(() => parseConsole("vga"), VireoError);
  for (const port of ["a", "a=", "=b"]) {
    assert.throws(() => parseConsole("virtio", [port]), VireoError, port);
  }
});
