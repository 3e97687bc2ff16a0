/** The real gdb, attached to guests of ours and to Linux. */
import assert from "node:assert/strict";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { Msr } from "../../ffi/kvm/msr.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { TestMachine } from "../../vmm/testing/mod.ts";
import { COUNTS } from "../../vmm/testing/tiny_guest.ts";

/** A kernel whose functions can be stopped at. */
const KERNEL = `
static volatile int sum;
static void print(char letter) {
  asm volatile("outb %0, %1" : : "a"(letter), "Nd"((short)0x3f8));
}
__attribute__((noinline)) int add(int left, int right) {
  int result = left + right;
  sum = result;
  return result;
}
__attribute__((noinline)) int twice(int value) {
  int doubled = add(value, value);
  print('a' + (doubled & 15));
  return doubled;
}
void _start(void) {
  for (int i = 1;; i++) twice(i);
}
`;

/** Attached there, runs gdb's commands; what it prints. */
function gdb(
  target: string,
  commands: readonly string[],
  ...files: readonly string[]
): Promise<string> {
  return gdbOn(files, [`target remote ${target}`, ...commands]);
}

async function gdbOn(
  files: readonly string[],
  commands: readonly string[],
): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("gdb", {
    args: [
      ...["-nx", "-q", "-batch"],
      ...["set pagination off", ...commands]
        .flatMap((command) => ["-ex", command]),
      ...files,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return text(stdout) + text(stderr);
}

async function listening(
  { machine }: TestMachine,
  folder: string,
): Promise<string> {
  return (await machine.gdb({ address: { path: `${folder}/gdb` } })).target;
}

function peerTest(
  name: string,
  needs: Parameters<typeof needing>[0],
  body: (folder: string) => Promise<void>,
): void {
  Deno.test(needing([KVM, "gdb", ...needs], {
    name,
    async fn() {
      const folder = Deno.makeTempDirSync();
      try {
        await body(folder);
      } finally {
        Deno.removeSync(folder, { recursive: true });
      }
    },
  }));
}

peerTest(
  "gdb itself: functions, arguments, source lines, step, finish, memory",
  ["gcc"],
  async (folder) => {
    const [source, kernel] = [`${folder}/kernel.c`, `${folder}/kernel`];
    Deno.writeTextFileSync(source, KERNEL);
    const flags = "-g -O1 -ffreestanding -nostdlib -static -no-pie -fno-pic " +
      "-mno-red-zone -mgeneral-regs-only -fno-stack-protector " +
      "-fcf-protection=none -Wl,-Ttext-segment=0x100000 -Wl,--build-id=none";
    const { success, stderr } = await new Deno.Command("gcc", {
      args: [...flags.split(" "), "-o", kernel, source],
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    await using test = await TestMachine.create({
      "boot-source": { kernel_image_path: kernel },
      "machine-config": { mem_size_mib: 16 },
    });
    const target = await listening(test, folder);
    await test.machine.pause();
    test.machine.start();
    const said = await gdb(target, [
      "info symbol $pc",
      "hbreak twice",
      "continue",
      "backtrace",
      "break add",
      "continue",
      "info args",
      "backtrace",
      "finish",
      "print sum",
      "step",
      "info registers rip cr3 efer fs_base mxcsr",
      "delete",
      "print sum = 40",
      "print sum",
      "break add if left > 20",
      "continue",
      "print left",
      "info threads",
      "detach",
    ], kernel);
    for (
      const pattern of [
        /^_start in section \.text/m,
        /^Breakpoint 1, twice \(value=.*1\) at .*kernel\.c:12$/m,
        /^#1 .* in _start \(\) at .*kernel\.c:17$/m,
        /^Breakpoint 2, add \(left=.*1, right=.*1\)/m,
        /^left = 1\nright = 1$/m,
        /^#1 .* in twice \(value=.*1\) at .*\n#2 .* in _start/m,
        /^Value returned is \$1 = 2$/m,
        /^\$2 = 2$/m,
        /^rip .*<(twice|_start)\+\d+>/m,
        /^cr3 +0x9000 /m,
        /^efer +0x500 /m,
        /^mxcsr +0x1f80 /m,
        /^\$3 = 40\n\$4 = 40$/m,
        /^Breakpoint 3, add \(left=.*21, right=.*21\)/m,
        /^\* 1 +Thread 1 \(vCPU 0: kernel\) add \(left=.*21/m,
        /^\[Inferior 1 \(Remote target\) detached\]$/m,
      ]
    ) assert.match(said, pattern);
    const before = test.output.length;
    await until(() => test.output.length > before + 20, "more", () => said);

    // And afterwards, in its core.
    const core = `${folder}/core`;
    await test.machine.dump(core);
    const later = await gdbOn([kernel, core], [
      ...["print sum", "info threads", "backtrace", "info registers mxcsr"],
    ]);
    assert.match(later, /^\$1 = \d+$/m);
    assert.match(later, /^\* 1 +(Thread|LWP|process) 1/m);
    assert.match(later, /^#\d .*_start \(\) at .*kernel\.c:17$/m);
    assert.match(later, /^mxcsr +0x1f80 /m);
  },
);

peerTest("gdb itself: is killed, and the guest goes on", [], async (folder) => {
  await using test = await TestMachine.create({
    "boot-source": { kernel_image_path: COUNTS },
    "machine-config": { mem_size_mib: 16 },
  });
  const target = await listening(test, folder);
  test.machine.start();
  const child = new Deno.Command("gdb", {
    args: [
      ...["-nx", "-q", "-ex", `target remote ${target}`],
      ...["-ex", "hbreak *0x100006", "-ex", "continue"],
    ],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  await until(() => test.machine.state === "paused", "stopped");
  child.kill("SIGKILL");
  await child.status;
  await child.stdin.close().catch(() => {});
  await until(() => test.machine.state === "running", "running");
  const before = test.output.length;
  await until(() => test.output.length > before, "more");
});

peerTest(
  "gdb itself: Linux: by its page tables, at an exception's handler, and on",
  [
    LINUX,
  ],
  async (folder) => {
    await using linux = await LinuxGuest.boot({});
    const { machine } = linux.test;
    const target = await listening(linux.test, folder);
    const handler = await machine.introspect(({ vcpus: [vcpu] }) => {
      const { base } = vcpu!.special.table("idt");
      const gate = new DataView(
        vcpu!.read(base + 14n * 16n, 16).slice().buffer,
      );
      const high = gate.getUint32(8, true).toString(16);
      return `0x${high}${
        (gate.getUint16(6, true) * 65536 + gate.getUint16(0, true))
          .toString(16).padStart(8, "0")
      }`;
    });
    const said = gdb(target, [
      "x/s $rip",
      `hbreak *${handler}`,
      "continue",
      "print/x $pc",
      "stepi",
      "stepi",
      "x/2i $pc",
      "print/x $cs",
      "monitor queues",
      "monitor walk 401000",
      "delete",
      "detach",
    ]);
    let done = false;
    said.finally(() => done = true);
    while (!done) await linux.run("ls"); // whose programs fault
    const text = await said;
    assert.match(text, new RegExp(`^\\$1 = ${handler}$`, "m"));
    assert.match(text, /^Breakpoint 1, 0xffffffff/m);
    assert.match(text, /^\$2 = 0x10$/m);
    assert.match(
      text,
      /^block ".*" at .*: ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK$/m,
    );
    assert.match(
      text,
      /^ {2}queue 0: split, \d+ at .*available \d+, used \d+$/m,
    );
    assert.match(text, /^PML4 /m);
    assert.equal(await linux.run("echo goes on"), "goes on");
  },
);

peerTest(
  "gdb itself: Linux: steps and stops a program, goes back to it from the kernel, and into it",
  [LINUX],
  async (folder) => {
    await using linux = await LinuxGuest.boot({});
    const { machine } = linux.test;
    const target = await listening(linux.test, folder);
    // Without system calls, and without an end: where it was it comes again.
    linux.type(`awk 'BEGIN { print "lo" "op"; for (;;) i++ }'\n`);
    let rip = 0n;
    const user = () =>
      machine.introspect(({ vcpus: [vcpu] }) => {
        if (vcpu!.cpl === 3) rip = vcpu!.registers.rip;
        return vcpu!.cpl === 3;
      });
    await linux.test.printed(/^loop\r?\n/m);
    await until(user, "the program at work");
    const said = await gdb(target, [
      "print $cs",
      ...Array(20).fill("stepi"),
      `hbreak *${rip}`,
      "continue",
      "continue",
      "info threads",
      "delete",
      "stepi",
      "detach",
    ]);
    if (/^\$1 = 51$/m.test(said)) { // gdb came in the program, too
      assert.match(
        said,
        /^Breakpoint 1, 0x0+[45]\w{5} in .*\n[^]*^Breakpoint 1,/m,
      );
      assert.match(said, /^\* 1 +Thread 1 \(vCPU 0: user\)/m);
    }
    linux.type("\x03");
    assert.equal(await linux.run("echo goes on"), "goes on");

    // Into the kernel by a system call, which this host may leave half done.
    const entry = await machine.introspect(({ vcpus: [vcpu] }) =>
      `0x${vcpu!.vcpu.getMsr(Msr.LSTAR)!.toString(16)}`
    );
    linux.type("while :; do : >/dev/null; done\n");
    const calls = await gdb(target, [
      `hbreak *${entry}`,
      ...["continue", "continue"],
      "print/x $pc",
      ...Array(20).fill("stepi"),
      "print $cs",
      ...["delete", "hbreak *$pc", "continue", "continue"],
      "print $cs",
      "detach",
    ]);
    assert.match(calls, new RegExp(`^\\$1 = ${entry}$`, "m"));
    assert.match(
      calls,
      /^\$2 = 16\n[^]*\nBreakpoint 2, [^]*\nBreakpoint 2, [^]*\n\$3 = 16$/m,
    );
    linux.type("\x03");
    assert.equal(await linux.run("echo goes on"), "goes on");
  },
);
