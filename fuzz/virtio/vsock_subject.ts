/**
 * The socket device under attack, over real sockets in a folder of its own.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Random } from "../../guest/testing/random.ts";
import {
  HostProgram,
  HostServer,
} from "../../devices/backends/testing/vsock.ts";
import { UnixSockets } from "../../devices/backends/vsock/unix_sockets.ts";
import { UnixListener } from "../../ffi/unix_socket.ts";
import { Vsock } from "../../devices/virtio/vsock/vsock.ts";
import { VsockOp, VsockQueue } from "../../devices/virtio/vsock/spec.ts";
import { complete, type MakeSubject, type Part } from "./subject.ts";

const CID = 3, HOST = 2;
const PORTS = [1, 5000, 5001, 0xffff_ffff];
const SERVED = 5000;

function packet(
  op: number,
  ports: [from: number, to: number],
  length: number,
  random?: Random,
): Uint8Array {
  const view = new DataView(new ArrayBuffer(44));
  const odd = (usual: number, limit = 2 ** 32) =>
    random?.oneIn(30) ? random.below(limit) : usual;
  view.setUint32(0, odd(CID), true);
  view.setUint32(8, odd(HOST), true);
  view.setUint32(16, ports[0], true);
  view.setUint32(20, ports[1], true);
  view.setUint32(24, odd(length), true);
  view.setUint16(28, odd(1, 0x1_0000), true);
  view.setUint16(30, odd(op, 0x1_0000), true);
  view.setUint32(32, random?.below(4) ?? 0, true);
  view.setUint32(36, odd(0x4_0000), true);
  view.setUint32(40, odd(0), true);
  return new Uint8Array(view.buffer);
}

/** Sockets, programs on both sides, and their leftovers. */
export const vsock: MakeSubject = () => {
  const folder = Deno.makeTempDirSync({ prefix: "vireo-fuzz-" });
  const listener = new UnixListener(`${folder}/v`, "vsock");
  const server = new HostServer(`${folder}/v_${SERVED}`);
  const programs: HostProgram[] = [];
  const device = new Vsock(CID, new UnixSockets(listener));
  const keep = (program: HostProgram | undefined) => {
    if (program) programs.push(program);
    if (programs.length > 8) programs.shift()!.close();
  };
  return {
    device,
    request(random, index): Part[] {
      if (index !== VsockQueue.TRANSMIT) {
        return random.oneIn(3) ? [44, 4096] : [1 + random.below(6000)];
      }
      const payload = random.oneIn(2)
        ? random.bytes(1 + random.below(3000))
        : undefined;
      const op = random.of(Object.values(VsockOp));
      const ports: [number, number] = [random.of(PORTS), random.of(PORTS)];
      const header = packet(op, ports, payload?.length ?? 0, random);
      return payload ? [header, payload] : [header];
    },
    host(random) {
      keep(server.accept());
      const program = programs.length > 0 ? random.of(programs) : undefined;
      switch (random.below(5)) {
        case 0: {
          const made = HostProgram.connect(listener.path);
          const words = [`CONNECT ${random.of(PORTS)}\n`, "CONNECT x\n", "\n"];
          made.write(random.of(words));
          return keep(made);
        }
        case 1:
          return void program?.read();
        case 2:
          return program?.endWriting();
        case 3:
          return program?.close();
      }
    },
    prove(driver) {
      complete(driver, VsockQueue.TRANSMIT, [
        packet(VsockOp.REQUEST, [77, SERVED], 0),
      ]);
      const buffers = Array.from({ length: 8 }, () => driver.room(4096));
      for (const buffer of buffers) {
        driver.rings[VsockQueue.RECEIVE]!.add([buffer]);
      }
      driver.ring(VsockQueue.RECEIVE);
      driver.until(() => {
        driver.turn();
        return driver.rings[VsockQueue.RECEIVE]!.poll() >= 0;
      }, "the answer");
      const answer = new DataView(driver.bytes(buffers[0]!).slice().buffer);
      assert.equal(answer.getUint16(30, true), VsockOp.RESPONSE);
    },
    [Symbol.dispose]() {
      for (const program of programs) program.close();
      server[Symbol.dispose]();
      listener[Symbol.dispose]();
      Deno.removeSync(folder, { recursive: true });
    },
  };
};
