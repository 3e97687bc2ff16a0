/**
 * The console under attack, with two ports in memory.
 *
 * @module
 */
import assert from "node:assert/strict";
import { MemoryConsole } from "../../devices/backends/testing/console.ts";
import { Console } from "../../devices/virtio/console/console.ts";
import {
  ConsoleEvent,
  ConsoleFeature,
  ConsoleQueue,
  CONTROL_SIZE,
} from "../../devices/virtio/console/spec.ts";
import { complete, type MakeSubject, type Part } from "./subject.ts";

const EVENTS = [...Object.values(ConsoleEvent), 8, 0xffff];

function control(id: number, event: number, value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(CONTROL_SIZE));
  view.setUint32(0, id, true);
  view.setUint16(4, event, true);
  view.setUint16(6, value, true);
  return new Uint8Array(view.buffer);
}

/** A port that is a console, and a named one. */
export const console: MakeSubject = () => {
  const ends = [new MemoryConsole(), new MemoryConsole()] as const;
  const device = new Console([
    { name: "main", backend: ends[0], console: true },
    { name: "log", backend: ends[1] },
  ]);
  return {
    device,
    request(random, index): Part[] {
      if (index === ConsoleQueue.CONTROL_TRANSMIT) {
        const id = random.oneIn(8) ? random.below(2 ** 32) : random.below(3);
        const message = control(id, random.of(EVENTS), random.below(3));
        return random.oneIn(8)
          ? [message.subarray(0, 1 + random.below(7))]
          : [message];
      }
      return index % 2 === 0
        ? [1 + random.below(random.of([4, 80, 4000]))]
        : [random.bytes(1 + random.below(3000)), random.bytes(9)];
    },
    host(random) {
      const end = random.of(ends);
      end.written = "";
      switch (random.below(4)) {
        case 0:
          end.room = random.oneIn(2) ? random.below(50) : Infinity;
          return end.changed();
        case 1:
          return end.connect(random.oneIn(2));
        case 2:
          if (end.input.length < 1e5) end.type("x".repeat(random.below(5000)));
          return;
        default:
          return device.command({
            columns: random.below(300),
            rows: random.below(100),
          });
      }
    },
    prove(driver) {
      const [end] = ends;
      Object.assign(end, { room: Infinity, written: "", input: "" });
      end.connect(true);
      if (driver.state.hasFeature(ConsoleFeature.MULTIPORT)) {
        const { DEVICE_READY, PORT_READY, PORT_OPEN } = ConsoleEvent;
        for (const event of [DEVICE_READY, PORT_READY, PORT_OPEN]) {
          const message = control(0, event, 1);
          complete(driver, ConsoleQueue.CONTROL_TRANSMIT, [message]);
        }
      }
      const text = new TextEncoder().encode("proof");
      complete(driver, ConsoleQueue.TRANSMIT, [text]);
      assert.equal(end.written, "proof");
      const room = driver.room(16);
      const ring = driver.rings[ConsoleQueue.RECEIVE]!;
      ring.add([room]);
      driver.ring(ConsoleQueue.RECEIVE);
      end.type("typed");
      driver.until(() => {
        driver.turn();
        return ring.poll() >= 0;
      }, "the input");
      const typed = driver.bytes(room).slice(0, 5);
      assert.equal(new TextDecoder().decode(typed), "typed");
    },
    [Symbol.dispose]() {},
  };
};
