/**
 * The loop around `KVM_RUN`: every exit is answered in this thread.
 *
 * @module
 */
import type { Bus } from "../devices/bus.ts";
import { vcpuFailure } from "../ffi/kvm/failure.ts";
import type { ExitRecorder } from "../ffi/kvm/exit_recorder.ts";
import { Exit, InternalError, type KvmRun } from "../ffi/kvm/run.ts";
import { KvmRunOffset } from "../ffi/kvm/run.ts";
import { drainKicks } from "../ffi/kvm/kick.ts";
import { MpState, type Vcpu, wasKicked } from "../ffi/kvm/vcpu.ts";
import { GuestAddressError } from "../guest/memory.ts";
import { Command, type Control } from "./control.ts";
import type { MachineEnd } from "./messages.ts";
import type { RefusedInstructions } from "./refused.ts";

const MMIO_DATA = KvmRunOffset.mmio_data;
/** The longest MMIO access that KVM reports, in bytes. */
const MMIO_MAX = 8;

/** What a vCPU's exits are answered with. */
export interface VcpuEnvironment {
  /** The vCPU's number. */
  id: number;
  /** Commands of the main isolate. */
  control: Control;
  /** Counts the exits. */
  exits: ExitRecorder;
  /** The ports. */
  ports: Bus;
  /** Memory-mapped devices. */
  mmio: Bus;
  /** The host's KVM refuses instructions: {@linkcode EMULATION_WANTED}. */
  refuses: boolean;
  /** A device asked for the machine's end; asked after each PIO write. */
  ended(): MachineEnd | undefined;
  /** Tells the main isolate that this vCPU does not run any more. */
  paused(): void;
  /** At a breakpoint, or after a step: waits until a debugger lets it go on. */
  debugStop(): void;
}

/** No end: the guest goes on when {@linkcode VcpuLoop.emulation} is there. */
export const EMULATION_WANTED: MachineEnd = { reason: "error" };

/** One vCPU's thread. */
export class VcpuLoop {
  readonly #vcpu: Vcpu;
  readonly #run: KvmRun;
  readonly #environment: VcpuEnvironment;
  readonly #data: DataView;
  /** For what KVM refuses; most machines on most hosts never need it. */
  emulation: RefusedInstructions | undefined;
  #exitWaits = false; // for it

  /** A loop for `vcpu`, which the calling thread owns from now on. */
  constructor(vcpu: Vcpu, environment: VcpuEnvironment) {
    this.#vcpu = vcpu;
    this.#run = vcpu.run;
    this.#environment = environment;
    this.#data = new DataView(vcpu.run.u8.buffer);
  }

  /** Runs the guest until the machine ends; undefined when told to stop. */
  run(): MachineEnd | undefined {
    const { control, id, exits } = this.#environment;
    if (this.#exitWaits) {
      this.#exitWaits = false;
      const end = this.#exit();
      if (end !== undefined) return end;
    }
    for (;;) {
      const command = control.vcpuCommand;
      if (command === Command.STOP) return undefined;
      if (command === Command.PAUSE) {
        const end = this.#completeExit();
        if (end !== undefined) return end;
        control.waitWhileVcpusPaused(this.#environment.paused, id);
        continue;
      }
      const code = this.#vcpu.enter();
      if (code !== 0) {
        if (!wasKicked(code) && this.#run.exitReason !== Exit.INTR) {
          return this.#failure(code);
        }
        this.#kicked();
        continue;
      }
      control.countExit(id);
      const recorded = exits.began(this.#run);
      const end = this.#exit();
      if (recorded) exits.ended(this.#run);
      if (end !== undefined) return end;
    }
  }

  /**
   * A read's value waits in `struct kvm_run` for the next `KVM_RUN`: who saves
   * the vCPU is to find it in its registers. That may exit once more.
   */
  #completeExit(): MachineEnd | undefined {
    const { u8 } = this.#run;
    let end: MachineEnd | undefined;
    u8[KvmRunOffset.immediate_exit] = 1;
    while (end === undefined && this.#vcpu.enter() === 0) end = this.#exit();
    u8[KvmRunOffset.immediate_exit] = 0;
    return end;
  }

  #exit(): MachineEnd | undefined {
    switch (this.#run.exitReason) {
      case Exit.MMIO:
        this.#mmioExit();
        return undefined;
      case Exit.IO:
        return this.#ioExit();
      case Exit.INTR:
      case Exit.IRQ_WINDOW_OPEN:
        return undefined;
      case Exit.SHUTDOWN:
        return { reason: "triple-fault", message: "the guest triple-faulted" };
      case Exit.INTERNAL_ERROR:
        return this.#internalError();
      case Exit.X86_WRMSR:
        if (this.#wantsEmulation()) return EMULATION_WANTED;
        this.emulation?.lstarWritten();
        return undefined;
      case Exit.DEBUG:
        if (!this.emulation?.stopped()) this.#environment.debugStop();
        return undefined;
      default:
        return this.#failure();
    }
  }

  #mmioExit(): void {
    const size = this.#run.mmioSize;
    // No device has registers of 64 bits: two accesses of 32.
    this.#mmioAccess(0, size === MMIO_MAX ? 4 : size);
    if (size === MMIO_MAX) this.#mmioAccess(4, 4);
  }

  /** Byte `at` of the access, and those behind it. */
  #mmioAccess(at: number, size: number): void {
    const { mmio } = this.#environment;
    const run = this.#run;
    const page = run.mmioPage;
    const offset = run.mmioOffset + at;
    const data = MMIO_DATA + at;
    if (run.mmioIsWrite) {
      mmio.writeInPage(page, offset, size, this.#get(data, size));
    } else {
      this.#set(data, size, mmio.readInPage(page, offset, size));
    }
  }

  #ioExit(): MachineEnd | undefined {
    const run = this.#run;
    const { ports } = this.#environment;
    const port = run.ioPort;
    const size = run.ioSize;
    const out = run.ioIsOut;
    let data = run.ioDataOffset;
    // A reset of the machine meanwhile takes what is left away.
    for (let done = 0; done < run.ioCount; done++) {
      if (out) ports.write(port, size, this.#get(data, size));
      else this.#set(data, size, ports.read(port, size));
      data += size;
    }
    return out ? this.#environment.ended() : undefined;
  }

  #get(at: number, size: number): number {
    if (size === 1) return this.#run.u8[at]!;
    if (size === 2) return this.#data.getUint16(at, true);
    if (size === 4) return this.#data.getUint32(at, true);
    return 0; // KVM splits odd sizes only at page borders
  }

  #set(at: number, size: number, value: number): void {
    if (size === 1) this.#run.u8[at] = value;
    else if (size === 2) this.#data.setUint16(at, value, true);
    else if (size === 4) this.#data.setUint32(at, value, true);
    else this.#run.u8.fill(0xff, at, at + size);
  }

  /** Takes the kick off, and looks whether anything can wake the guest. */
  #kicked(): void {
    drainKicks();
    const { control, id } = this.#environment;
    const halted = !this.#run.interruptsEnabled &&
      this.#vcpu.getMpState() !== MpState.RUNNABLE;
    control.setHaltedForEver(id, halted);
  }

  #wantsEmulation(): boolean {
    this.#exitWaits = this.#environment.refuses &&
      this.emulation === undefined;
    return this.#exitWaits;
  }

  #internalError(): MachineEnd | undefined {
    let because = "";
    try {
      if (this.#run.internalSuberror === InternalError.EMULATION) {
        if (this.#wantsEmulation()) return EMULATION_WANTED;
        if (this.emulation?.refused() === "handled") return undefined;
      }
    } catch (error) {
      if (!(error instanceof GuestAddressError)) throw error;
      because = error.message;
    }
    return this.#failure(0, because);
  }

  #failure(errno = 0, because = ""): MachineEnd {
    const why = vcpuFailure(this.#vcpu, errno, because);
    const message = `vCPU ${this.#environment.id}: ${why}`;
    return { reason: "error", message };
  }
}
