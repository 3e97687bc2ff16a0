/**
 * CMPXCHG16B (Intel SDM vol. 2, CMPXCHG8B/CMPXCHG16B).
 *
 * It is atomic among the vCPUs that come here. Where KVM's emulator refuses it,
 * every vCPU's kernel mode comes here; a plain store of another vCPU to the
 * same 16 bytes could still fall in between, which Linux (the only known user,
 * in its slab allocator) never does.
 *
 * @module
 */
import { OpcodeMap } from "./decode.ts";
import { generalProtection } from "./fault.ts";
import type { Instruction } from "./instruction.ts";
import { type StoppedCpu, toBigInt, toBytes } from "./stopped_cpu.ts";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const SIZE = 16;

function cmpxchg16b(cpu: StoppedCpu): void {
  if (cpu.address() & BigInt(SIZE - 1)) throw generalProtection();
  const expected = cpu.register(RDX) << 64n | cpu.register(RAX);
  const wanted = cpu.register(RCX) << 64n | cpu.register(RBX);
  cpu.exclusively(() => {
    const current = toBigInt(cpu.load(SIZE));
    const equal = current === expected;
    // The CPU writes in either case, and faults when it may not.
    cpu.store(toBytes(equal ? wanted : current, SIZE));
    if (!equal) {
      cpu.setRegister(RAX, current);
      cpu.setRegister(RDX, current >> 64n);
    }
    cpu.setFlags({ ZF: equal });
  });
}

/** See the module's description. */
export const EXCHANGE: readonly Instruction[] = [{
  name: "CMPXCHG16B",
  map: OpcodeMap.M0F,
  opcode: 0xc7,
  prefix: 0,
  extension: 1,
  form: "memory",
  wide: true,
  lock: true,
  execute: cmpxchg16b,
}];
