/** What is told of a vCPU that can't go on, exit by exit. */
import assert from "node:assert/strict";
import { Errno, SystemError } from "../errno.ts";
import { closeFd, Open, openFd } from "../file.ts";
import type { Registers } from "./registers.ts";
import { SpecialRegisters } from "./registers.ts";
import { Exit, KvmRun } from "./run.ts";
import type { Vcpu } from "./vcpu.ts";
import { vcpuFailure } from "./failure.ts";

const PAGE = 4096;
const UNION = 32;

/** A vCPU whose `KVM_RUN` ends with what a test writes into its page. */
class StoppedVcpu implements Disposable {
  readonly run: KvmRun;
  readonly sregs = new SpecialRegisters();
  readonly registers = { rax: 0x1234n, rip: 0x1000n } as Registers;
  /** What `KVM_RUN` returns. */
  errno = 0;
  readonly #stack = new DisposableStack();

  constructor(exitReason: number) {
    const path = this.#stack.adopt(Deno.makeTempFileSync(), Deno.removeSync);
    Deno.truncateSync(path, PAGE);
    const fd = openFd(path, Open.RDWR, "page");
    this.#stack.defer(() => closeFd(fd));
    this.run = this.#stack.use(new KvmRun(fd, PAGE));
    this.run.u32[2] = exitReason;
  }

  get vcpu(): Vcpu {
    return {
      run: this.run,
      getRegs: () => this.registers,
      getSregs: () => this.sregs,
    } as unknown as Vcpu;
  }

  /** Words of 64 bits, from the start of the page's union on. */
  words(...values: bigint[]): this {
    const view = new DataView(this.run.u8.buffer);
    values.forEach((value, i) => view.setBigUint64(UNION + 8 * i, value, true));
    return this;
  }

  /** What is told of it, in lines. */
  told(because = ""): string[] {
    return vcpuFailure(this.vcpu, this.errno, because).split("\n");
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

Deno.test("vCPU failure: a VM entry that the CPU refuses is told with its reason and all that is entered with", () => {
  using stopped = new StoppedVcpu(Exit.FAIL_ENTRY);
  stopped.words(0x8000_0021n, 5n);
  stopped.sregs.setControl("cr0", 0x8000_0031n);
  stopped.sregs.setControl("cr2", 0xdeadn);
  stopped.sregs.setControl("cr3", 0x9000n);
  stopped.sregs.setControl("cr4", 0x20n);
  stopped.sregs.setControl("efer", 0x500n);
  const code = { type: 11, present: 1, dpl: 0, db: 0, s: 1, l: 1, g: 1 };
  const limit = 0xffff_ffff;
  const segment = { ...code, base: 0n, limit, selector: 0x10 };
  stopped.sregs.setSegment("cs", segment);
  stopped.sregs.setSegment("ss", { ...segment, type: 3, l: 0, db: 1 });
  stopped.sregs.setSegment("tr", {
    ...segment,
    base: 0x77000n,
    selector: 0x20,
  });
  const [first, ...lines] = stopped.told();
  assert.equal(
    first,
    "KVM_EXIT_FAIL_ENTRY: hardware reason 0x80000021 " +
      "(VM entry with invalid guest state), on the host's CPU 5",
  );
  assert.deepEqual(lines, [
    "rax    0000000000001234  rip    0000000000001000",
    "cr0    0000000080000031  cr2    000000000000dead  " +
    "cr3    0000000000009000",
    "cr4    0000000000000020  efer   0000000000000500",
    "cs     0010  base 0000000000000000  limit ffffffff  " +
    "type b present 1 dpl 0 db 0 s 1 l 1 g 1",
    "ss     0010  base 0000000000000000  limit ffffffff  " +
    "type 3 present 1 dpl 0 db 1 s 1 l 0 g 1",
    "tr     0020  base 0000000000077000  limit ffffffff  " +
    "type b present 1 dpl 0 db 0 s 1 l 1 g 1",
  ]);
});

Deno.test("vCPU failure: each exit that nobody answers is told with what comes with it", () => {
  const cases: [reason: number, words: bigint[], told: RegExp][] = [
    [Exit.UNKNOWN, [0x30n], /KVM_EXIT_UNKNOWN: hardware exit reason 0x30$/],
    [Exit.EXCEPTION, [2n << 32n | 13n], /exception 13, error code 0x2$/],
    [
      Exit.FAIL_ENTRY,
      [0xffff_ffffn, 1n],
      /0xffffffff \(VMEXIT_INVALID.*\), on the host's CPU 1$/,
    ],
    [Exit.FAIL_ENTRY, [0x99n, 0n], /reason 0x99, on the host's CPU 0$/],
    [
      Exit.INTERNAL_ERROR,
      [2n << 32n | 3n, 0x8000_0b0en, 0x31n],
      /KVM_EXIT_INTERNAL_ERROR: suberror 3 \(DELIVERY_EV\), data 0x80000b0e 0x31$/,
    ],
    [Exit.INTERNAL_ERROR, [9n], /suberror 9, data none$/],
    [
      Exit.INTERNAL_ERROR,
      [0xffff_ffffn << 32n | 4n],
      /suberror 4 \(UNEXPECTED_EXIT_REASON\), data( 0x0){16}$/,
    ],
    [Exit.SYSTEM_EVENT, [1n << 32n | 3n, 7n], /type 3, data 0x7$/],
    [Exit.NOTIFY, [1n], /KVM_EXIT_NOTIFY: flags 0x1$/],
    [Exit.HYPERCALL, [], /^KVM_EXIT_HYPERCALL$/],
    [77, [], /^KVM_EXIT_77$/],
  ];
  for (const [reason, words, told] of cases) {
    using stopped = new StoppedVcpu(reason);
    assert.match(stopped.words(...words).told()[0]!, told);
  }
});

Deno.test("vCPU failure: what KVM_RUN fails with is told with the address, if KVM knows it", () => {
  using stopped = new StoppedVcpu(Exit.UNKNOWN);
  stopped.errno = Errno.EFAULT;
  assert.equal(stopped.told()[0], "KVM_RUN: EFAULT (Bad address)");
  stopped.run.u32[2] = Exit.MEMORY_FAULT;
  stopped.words(8n, 0xfee0_0000n, 0x1000n);
  assert.equal(
    stopped.told()[0],
    "KVM_RUN: EFAULT (Bad address): KVM_EXIT_MEMORY_FAULT: " +
      "guest address 0xfee00000 + 0x1000, flags 0x8",
  );
});

Deno.test("a refused instruction is named with its bytes and its address", () => {
  const refused = (...bytes: number[]) => {
    using stopped = new StoppedVcpu(Exit.INTERNAL_ERROR);
    const HAS_BYTES = 1n;
    stopped.words(4n << 32n | 1n, bytes.length ? HAS_BYTES : 0n);
    stopped.run.u8.set([bytes.length, ...bytes], UNION + 16);
    return stopped.told()[0]!;
  };
  assert.equal(
    refused(0x0f, 0x38, 0x82, 0x06),
    "KVM can't emulate the instruction 0f 38 82 06 at RIP 0x1000",
  );
  assert.match(refused(0xf3, 0x0f, 0xb8, 0xc1), /f3 0f b8 c1/);
  assert.match(refused(), /\(no bytes\)/);
});

Deno.test("vCPU failure: registers that can't be had are no reason to say nothing", () => {
  using stopped = new StoppedVcpu(Exit.SHUTDOWN);
  const { vcpu } = stopped;
  vcpu.getRegs = () => {
    throw new SystemError("KVM_GET_REGS", Errno.EIO);
  };
  const [first, second] = vcpuFailure(vcpu, 0, "so").split("\n");
  assert.equal(first, "KVM_EXIT_SHUTDOWN: so");
  assert.match(second!, /^KVM_GET_REGS: EIO/);
});
