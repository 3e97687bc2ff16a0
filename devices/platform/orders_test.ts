import assert from "node:assert/strict";
import {
  createOrders,
  giveOrders,
  ordersAsked,
  OrdersMode,
  OrdersPorts,
} from "./orders.ts";

const GREETING = 0, LENGTH = 4, DATA = 8;
const NOT_YET = 0xffff_fffe;

Deno.test("orders: a greeting, then the length and the words, from the start for each who asks", () => {
  const shared = createOrders(OrdersMode.COMMANDS);
  const ports = new OrdersPorts(shared);
  assert.equal(ports.read(GREETING, 4), 0x5649_5201);
  giveOrders(shared, Uint8Array.of(1, 2, 3, 4, 5));
  for (let i = 0; i < 2; i++) {
    assert.equal(ports.read(LENGTH, 4), 5);
    assert.equal(ports.read(DATA, 4), 0x0403_0201);
    assert.equal(ports.read(DATA, 4), 5);
    assert.equal(ports.read(DATA, 4), 0xffff_ffff, "behind the end");
  }
});

Deno.test("orders: one vCPU goes on where another has read", () => {
  const shared = createOrders(OrdersMode.TERMINAL);
  const [one, other] = [new OrdersPorts(shared), new OrdersPorts(shared)];
  giveOrders(shared, Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0));
  one.read(LENGTH, 4);
  assert.equal(one.read(DATA, 4), 1);
  assert.equal(other.read(DATA, 4), 2);
});

Deno.test("orders: who asks too early is told so, and the machine hears of it", async () => {
  const shared = createOrders(OrdersMode.TERMINAL);
  const ports = new OrdersPorts(shared);
  const asked = ordersAsked(shared);
  assert.equal(ports.read(LENGTH, 4), NOT_YET);
  assert.equal(ports.read(LENGTH, 4), NOT_YET);
  await asked;
  giveOrders(shared, new Uint8Array());
  assert.equal(ports.read(LENGTH, 4), 0);
  assert.equal(ports.read(DATA, 4), 0xffff_ffff);
});

Deno.test("orders: other accesses find nothing", () => {
  const ports = new OrdersPorts(createOrders(OrdersMode.TERMINAL));
  assert.equal(ports.read(GREETING, 1), 0xff);
  assert.equal(ports.read(LENGTH, 2), 0xffff);
  assert.equal(ports.read(2, 4), 0xffff_ffff);
  ports.write();
  assert.equal(ports.read(LENGTH, 4), NOT_YET);
});
