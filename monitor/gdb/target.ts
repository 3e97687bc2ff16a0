/**
 * What a debugger's conversation is about: a machine, in gdb's words.
 *
 * @module
 */
import type { HardwareStop } from "../../ffi/kvm/guest_debug.ts";
import { VireoError } from "../../ffi/error.ts";
import { Debugger, type Go } from "../../vmm/introspection/debugger.ts";
import type { DebuggedMachine } from "../../vmm/introspection/gdb.ts";
import type { VcpuView } from "../../vmm/introspection/vcpu_view.ts";
import { MonitorCommands } from "./commands.ts";
import {
  readAll,
  readFile,
  writeAll,
  writeRegister,
} from "./register_access.ts";
import type { GdbRegister } from "./registers.ts";

/** Why a machine stands still; threads begin at 1. */
export type StopReply =
  | { reason: "paused" | "step"; thread: number }
  | { reason: "breakpoint"; thread: number; address: bigint }
  | {
    reason: "watch";
    thread: number;
    address: bigint;
    kind: "write" | "access";
  }
  | { reason: "ended" };

/** What a conversation asks of its machine. */
export interface GdbTarget {
  /** Its threads. */
  readonly threads: readonly number[];
  /** Stops it, for a debugger that has come. */
  attach(): Promise<void>;
  /** Lets it go on, without any breakpoint. */
  detach(): Promise<void>;
  /** Ends it. */
  kill(): Promise<void>;
  /** A word about a thread. */
  about(thread: number): Promise<string>;
  /** All registers, in gdb's order. */
  registers(thread: number): Promise<Uint8Array>;
  /** Sets them. */
  setRegisters(thread: number, bytes: Uint8Array): Promise<void>;
  /** One register. */
  register(thread: number, register: GdbRegister): Promise<Uint8Array>;
  /** Sets it. */
  setRegister(
    thread: number,
    register: GdbRegister,
    bytes: Uint8Array,
  ): Promise<void>;
  /** Memory by linear address, as far as there is any. */
  read(thread: number, address: bigint, length: number): Promise<Uint8Array>;
  /** Writes there; how many bytes. */
  write(thread: number, address: bigint, bytes: Uint8Array): Promise<number>;
  /** From now on it stops there. */
  insert(stop: HardwareStop): Promise<void>;
  /** No more. */
  remove(stop: HardwareStop): Promise<void>;
  /** Lets it go on, until the next stop. */
  go(what: (thread: number) => Go): Promise<StopReply>;
  /** Stops it: who waits in {@linkcode go} hears of it. */
  interrupt(): Promise<void>;
  /** `monitor WORDS`: what it prints. */
  command(words: string): Promise<string>;
}

/** A machine as one. */
export class MachineTarget implements GdbTarget {
  threads: readonly number[] = [];
  readonly #machine: DebuggedMachine;
  readonly #commands: MonitorCommands;
  #debugger: Debugger | undefined;
  readonly #ended: Promise<{ reason: "ended" }>;
  /** Somebody else has paused the machine, and no debugger has let it go on. */
  #stays = false;
  #thread = 1;

  /** Of `machine`. */
  constructor(machine: DebuggedMachine) {
    this.#machine = machine;
    this.#commands = new MonitorCommands(machine);
    const ended = () => ({ reason: "ended" as const });
    this.#ended = machine.wait().then(ended, ended);
  }

  async attach(): Promise<void> {
    this.#stays = this.#machine.state === "paused";
    this.#debugger = new Debugger(this.#machine);
    await this.#debugger.stop();
    this.threads = await this.#machine.introspect(({ vcpus }) =>
      vcpus.map(({ id }) => id + 1)
    );
  }

  async detach(): Promise<void> {
    try {
      await this.#debugger?.letGo(!this.#stays);
    } catch (error) {
      if (!(error instanceof VireoError)) throw error; // it has ended
    } finally {
      this.#debugger?.[Symbol.dispose]();
      this.#commands[Symbol.dispose]();
    }
  }

  async kill(): Promise<void> {
    await this.#machine.stop();
  }

  about(thread: number): Promise<string> {
    return this.#vcpu(thread, ({ id, activity, cpl }) => {
      const level = cpl === 3 ? "user" : "kernel";
      return `vCPU ${id}: ${activity === "runs" ? level : activity}`;
    });
  }

  registers(thread: number): Promise<Uint8Array> {
    return this.#vcpu(thread, (vcpu) => readAll(readFile(vcpu)));
  }

  setRegisters(thread: number, bytes: Uint8Array): Promise<void> {
    return this.#vcpu(thread, (vcpu) => writeAll(vcpu, bytes));
  }

  register(thread: number, register: GdbRegister): Promise<Uint8Array> {
    return this.#vcpu(thread, (vcpu) => register.read(readFile(vcpu)));
  }

  setRegister(
    thread: number,
    register: GdbRegister,
    bytes: Uint8Array,
  ): Promise<void> {
    return this.#vcpu(thread, (vcpu) => writeRegister(vcpu, register, bytes));
  }

  read(thread: number, address: bigint, length: number): Promise<Uint8Array> {
    return this.#vcpu(thread, (vcpu) => vcpu.read(address, length));
  }

  write(thread: number, address: bigint, bytes: Uint8Array): Promise<number> {
    return this.#vcpu(thread, (vcpu) => vcpu.write(address, bytes));
  }

  insert(stop: HardwareStop): Promise<void> {
    return this.#debugger!.insert(stop);
  }

  remove(stop: HardwareStop): Promise<void> {
    return this.#debugger!.remove(stop);
  }

  async go(what: (thread: number) => Go): Promise<StopReply> {
    const { state } = this.#machine;
    if (state === "ending" || state === "ended") return await this.#ended;
    const gone = this.#debugger!.go((vcpu) => what(vcpu + 1));
    const stop = await Promise.race([gone, this.#ended]);
    this.#stays = false;
    if (stop.reason === "ended") return stop;
    if (stop.reason === "paused") return { ...stop, thread: this.#thread };
    const thread = this.#thread = stop.vcpu + 1;
    if (stop.reason === "watch") {
      const { address, kind } = stop.stop;
      return {
        reason: "watch",
        thread,
        address,
        kind: kind === "write" ? "write" : "access",
      };
    }
    if (what(thread) === "step") return { reason: "step", thread };
    const address = await this.#vcpu(thread, (vcpu) => vcpu.registers.rip);
    return { reason: "breakpoint", thread, address };
  }

  interrupt(): Promise<void> {
    return this.#debugger!.stop();
  }

  command(words: string): Promise<string> {
    return this.#commands.run(words);
  }

  #vcpu<T>(thread: number, look: (vcpu: VcpuView) => T): Promise<T> {
    return this.#machine.introspect(({ vcpus }) => {
      const vcpu = vcpus[thread - 1];
      if (vcpu === undefined) throw new VireoError(`no thread ${thread}`);
      return look(vcpu);
    });
  }
}
