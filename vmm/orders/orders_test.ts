import assert from "node:assert/strict";
import { encodeOrders } from "./orders.ts";

/** The records: their types and values. */
function records(orders: Uint8Array): [number, Uint8Array][] {
  const found: [number, Uint8Array][] = [];
  for (let at = 0; at < orders.length;) {
    const [type, length] = new Uint16Array(orders.slice(at, at + 4).buffer);
    found.push([type!, orders.slice(at + 4, at + 4 + length!)]);
    at += 4 * Math.ceil((4 + length!) / 4);
  }
  return found;
}

Deno.test("orders: records in the order in which init carries them out", () => {
  const before = Math.floor(Date.now() / 1000);
  const orders = encodeOrders({
    nonce: "n",
    commands: "echo",
    bind: [1, 3],
    address: "dhcp",
    size: { rows: 24, columns: 300 },
    term: "xterm",
  });
  const after = Math.ceil(Date.now() / 1000);
  assert.equal(orders.length % 4, 0);
  const found = records(orders);
  // Time and seed; nonce, terminal; then devices, and what needs them.
  assert.deepEqual(found.map(([type]) => type), [5, 6, 1, 4, 3, 7, 8, 2]);
  const value = (wanted: number) => found.find(([type]) => type === wanted)![1];
  const text = (type: number) => new TextDecoder().decode(value(type));
  assert.equal(text(1), "n\0");
  assert.equal(text(2), "echo\0");
  assert.equal(text(4), "xterm\0");
  assert.equal(text(8), "dhcp\0");
  assert.deepEqual([...value(3)], [24, 0, 44, 1]);
  assert.deepEqual([...value(7)], [1, 3]);
  const seconds = Number(
    new DataView(value(5).buffer).getBigUint64(0, true),
  );
  assert.ok(seconds >= before && seconds <= after, `${seconds}`);
});

Deno.test("orders: a seed of its own each time", () => {
  const seed = () =>
    records(encodeOrders({ nonce: "n", bind: [] }))[1]![1].toHex();
  assert.equal(seed().length, 64);
  assert.notEqual(seed(), seed());
});

Deno.test("orders: more than a guest takes is refused", () => {
  const commands = "x".repeat(70_000);
  assert.throws(
    () => encodeOrders({ nonce: "n", commands, bind: [] }),
    /--exec: 70001 bytes; at most/,
  );
  assert.throws(
    () => encodeOrders({ nonce: "n", commands: "x".repeat(65_534), bind: [] }),
    /--exec: the guest takes 65536 bytes/,
  );
});
