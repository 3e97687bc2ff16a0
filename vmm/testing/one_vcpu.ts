/**
 * For tests, a program: one vCPU's worker, and a guest in real mode that waits
 * for its x87, writes LSTAR, and resets. Prints what the worker says.
 *
 * Its argument is the module that answers refused instructions, if any.
 *
 * @module
 */
import { BootTimer } from "../../devices/platform/boot_timer.ts";
import { I8042 } from "../../devices/platform/i8042.ts";
import { Rtc } from "../../devices/platform/rtc.ts";
import { SerialState } from "../../devices/platform/serial.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { Recorder } from "../../ffi/recorder.ts";
import { Msr } from "../../ffi/kvm/msr.ts";
import { KiB, Layout, Port } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { Control } from "../control.ts";
import type { WorkerMessage } from "../messages.ts";
import { WorkerThread } from "../worker_thread.ts";

const CODE = 0x1000;
const RFLAGS_RESERVED = 2n;
const PULSE_RESET = 0xfe;

const [emulation] = Deno.args;
using stack = new DisposableStack();
const kvm = stack.use(new Kvm());
const vm = stack.use(kvm.createVm());
vm.setTssAddr(Layout.TSS);
vm.setIdentityMapAddr(Layout.IDENTITY_MAP);
vm.exitOnEmulationFailure();
if (emulation) vm.exitOnMsrWrite(Msr.LSTAR);
const memory = GuestMemory.allocate(64 * KiB);
stack.defer(() => memory.free());
const [{ size, hostAddress }] = memory.regions as [typeof memory.regions[0]];
vm.setUserMemoryRegion(0, 0, size, hostAddress);
const lstar = [...new Uint8Array(Uint32Array.of(Msr.LSTAR).buffer)];
memory.write(
  CODE,
  Uint8Array.of(
    ...[0x9b, 0x66, 0xb9, ...lstar], // fwait; mov ecx, LSTAR
    ...[0x66, 0x31, 0xc0, 0x66, 0x31, 0xd2, 0x0f, 0x30], // eax = edx = 0; wrmsr
    ...[0xb0, PULSE_RESET, 0xe6, Port.I8042_COMMAND, 0xf4], // out; hlt
  ),
);
const vcpu = vm.createVcpu(0);
const sregs = vcpu.getSregs();
sregs.setSegment("cs", { ...sregs.segment("cs"), base: 0n, selector: 0 });
vcpu.setSregs(sregs);
vcpu.setRegs({ rip: BigInt(CODE), rflags: RFLAGS_RESERVED });

const url = new URL("../vcpu_worker.ts", import.meta.url);
const messages: WorkerMessage[] = [];
const worker = new WorkerThread(url, (message) => messages.push(message));
stack.defer(() => worker.terminate());
const irq = stack.use(new EventFd());
worker.post({
  id: 0,
  vcpuFd: vcpu.fd,
  record: Recorder.create(1),
  runSize: kvm.getVcpuMmapSize(),
  emulation,
  control: new Control().shared,
  controlFd: irq.fd,
  serial: { state: SerialState.create(), irqFd: irq.fd },
  keyboard: I8042.share(),
  rtc: Rtc.createState(),
  bootTimer: BootTimer.createState(),
  devices: [],
  vmFd: vm.fd,
  memory: memory.handles(),
});
await worker.stopped;
console.log(JSON.stringify(messages));
