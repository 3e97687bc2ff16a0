/** Probing hosts: this one, and ones that are thought up. */
import assert from "node:assert/strict";
import { KVM as HOST_KVM, needing, root } from "../ffi/testing/needs.ts";
import { denoAsNobody } from "../ffi/testing/nobody.ts";
import { adviceFor, type Findings } from "./advice.ts";
import { knownHost } from "./known_host.ts";
import { probeHost } from "./probe.ts";
import {
  failed,
  type GuestReport,
  type HostNames,
  type KvmReport,
  type ProbeReport,
  type ResourceReport,
  Syscall,
} from "./report.ts";
import { probeTable } from "./table.ts";

const ESCAPE = "\x1b";
const KVM: KvmReport = {
  apiVersion: 12,
  capabilities: [
    { name: "IRQCHIP", need: "needed", purpose: "interrupts", value: 1 },
    { name: "TIMER", need: "used if there", purpose: "timer", value: 0 },
  ],
  maxVcpus: 288,
};
const GUEST: GuestReport = {
  speed: { kernel: 3e9, user: 3e9, emulatesKernel: false },
  exits: { pioKernel: 2000, pioUser: 2000, mmioKernel: 3000, mmioUser: 3000 },
  syscall: Syscall.ARRIVES,
  instructions: [
    { name: "INT3", outcome: "works" },
    { name: "CLAC", outcome: "not in this CPU" },
  ],
  ioeventfd: true,
  irqfd: true,
};
const EMULATING: GuestReport = {
  ...GUEST,
  speed: { kernel: 1.1e6, user: 3.3e9, emulatesKernel: true },
  syscall: Syscall.HALF_DONE,
  instructions: [
    { name: "INT3", outcome: "refused, carried out" },
    { name: "CLAC", outcome: "refused" },
  ],
};
const HOST: HostNames = {
  cpu: "A CPU",
  kernel: "6.1",
  extension: "VT-x",
  modules: ["kvm_intel"],
};
const RESOURCES: ResourceReport = {
  ioUring: { cooperative: true, features: 1 },
  tap: { admin: true },
  transparentHugePages: "madvise",
  hugePages: 0,
  cores: 8,
  memory: 2 ** 34,
};

function findings(parts: Partial<Findings>): Findings {
  return {
    runs: true,
    host: HOST,
    kvm: KVM,
    guest: GUEST,
    resources: RESOURCES,
    ...parts,
  };
}

const advice = (parts: Partial<Findings>) => adviceFor(findings(parts));
const resources = (parts: Partial<ResourceReport>) =>
  advice({ resources: { ...RESOURCES, ...parts } }).slice(1).join("\n");

Deno.test("probe: VT-x and AMD-V need one sentence", () => {
  const text = ["Guest code runs on the CPU itself: any kernel will do."];
  assert.deepEqual(advice({}), text);
});

Deno.test("probe: emulation is told with its measure", () => {
  const [first, second, third] = advice({ guest: EMULATING });
  assert.match(first!, /3000 times slower.*about 7 s .*prepared kernel/);
  assert.match(second!, /half-way.*--distro debian.*"carry_syscalls": true/);
  assert.equal(third, "A kernel that uses CLAC ends with an error here.");
  const [, other] = advice({ guest: { ...EMULATING, syscall: "#6" } });
  assert.match(other!, /can't make system calls here, on any kernel\.$/);
});

Deno.test("probe: what to do about a missing extension of the CPU", () => {
  const none = { error: "ENOENT" };
  const last = (parts: Partial<HostNames>, findings: Partial<Findings>) =>
    advice({ host: { ...HOST, ...parts }, ...findings }).at(-1)!;
  const modules: string[] = [];
  for (const parts of [{ kvm: none }, { guest: EMULATING }]) {
    assert.match(last({ extension: "none", modules }, parts), /the firmware/);
    assert.match(last({ modules }, parts), /sudo modprobe kvm_intel\.$/);
    const amd: Partial<HostNames> = {
      extension: "AMD-V",
      modules: ["kvm_intel"],
    };
    assert.match(last(amd, parts), /has AMD-V.* modprobe kvm_amd\.$/);
    assert.doesNotMatch(last({}, parts), /modprobe|firmware/);
  }
});

Deno.test("probe: what keeps Vireo from running comes first", () => {
  const none = { error: "open /dev/kvm: ENOENT; load it" };
  assert.deepEqual(advice({ runs: false, kvm: none }), [
    "Vireo can't run here: open /dev/kvm: ENOENT; load it.",
  ]);
  const capabilities = KVM.capabilities.map((it) => ({ ...it, value: 0 }));
  assert.deepEqual(
    advice({ runs: false, kvm: { ...KVM, capabilities } }),
    ["Vireo can't run here: this KVM is without KVM_CAP_IRQCHIP."],
  );
  assert.deepEqual(advice({ runs: false, guest: { error: "EBUSY" } }), [
    "Vireo can't run here: EBUSY.",
  ]);
});

Deno.test("probe: I/O and resources that are missing are told", () => {
  assert.equal(resources({}), "");
  assert.match(resources({ ioUring: { error: "EPERM" } }), /blocking.*EPERM/);
  assert.match(resources({ tap: { error: "ENOENT" } }), /No networks: ENOENT/);
  assert.match(resources({ tap: { admin: false } }), /sudo ip tuntap add/);
  assert.match(resources({ cores: 1 }), /no polling/);
  assert.match(resources({ memory: 2 ** 27 }), /128 MiB of memory are free/);
});

function report(parts: Partial<Findings>): ProbeReport {
  return { ...findings(parts), advice: advice(parts) };
}

Deno.test("probe: the table has each finding, within 80 columns", () => {
  const long = { error: "a long story ".repeat(20) };
  for (
    const parts of [
      {},
      { guest: EMULATING },
      { kvm: long, guest: long },
      { resources: { ...RESOURCES, ioUring: long, tap: long } },
    ]
  ) {
    const text = probeTable(report(parts), false);
    for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
    assert.ok(!text.includes(ESCAPE), text);
    assert.doesNotMatch(text, /undefined|NaN/);
  }
  const text = probeTable(report({}), false);
  assert.match(text, /^ {2}ok +IRQCHIP +interrupts$/m);
  assert.match(text, /^ {2}slow +TIMER +missing; used if there: timer$/m);
  assert.match(
    text,
    /^ {2}ok +kernel code \(CPL0\) +3\.0 G instr.*on the CPU$/m,
  );
  assert.match(text, /^ {2}ok +not in this CPU +CLAC$/m);
  const emulating = probeTable(report({ guest: EMULATING }), true);
  assert.ok(emulating.includes(`${ESCAPE}[33mslow${ESCAPE}[0m`));
  assert.match(emulating, /kernel code .* 1\.1 M instr/);
  assert.match(emulating, /slow.* done by Vireo +INT3$/m);
  assert.match(emulating, /no.* refused +CLAC$/m);
});

Deno.test("probe: without KVM it says why, and the rest is still there", () => {
  const { runs, kvm, guest, resources, advice } = probeHost("/dev/none");
  assert.equal(runs, false);
  assert.match(failed(kvm) ? kvm.error : "", /\/dev\/none: ENOENT.*load kvm_/);
  assert.ok(failed(guest));
  assert.ok(resources.cores > 0 && resources.memory > 0);
  assert.match(advice[0]!, /^Vireo can't run here: open \/dev\/none: ENOENT/);
});

Deno.test(needing([root("becomes another user"), "setpriv"], {
  name: "probe: a user without the right to KVM is told which group has it",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    try {
      Deno.writeFileSync(`${dir}/kvm`, new Uint8Array(), { mode: 0o600 });
      Deno.chmodSync(dir, 0o777);
      const probe = new URL("./probe.ts", import.meta.url);
      const { stdout, stderr } = await denoAsNobody(
        `const { probeHost } = await import("${probe}");` +
          `console.log(JSON.stringify(probeHost("${dir}/kvm")))`,
        dir,
      );
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      const report: ProbeReport = JSON.parse(text(stdout) || text(stderr));
      assert.equal(report.runs, false);
      assert.match(report.advice[0]!, /EACCES.*join its group \(sudo usermod/);
      const { tap } = report.resources;
      assert.ok(failed(tap) || !tap.admin);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
}));

Deno.test(needing([HOST_KVM], {
  name: "probe: this host",
  fn() {
    const { runs, kvm, guest, host, advice } = probeHost();
    assert.ok(!failed(kvm) && !failed(guest));
    assert.equal(runs, true);
    assert.notEqual(host.cpu, "unknown");
    assert.ok(kvm.maxVcpus >= 1);
    const { speed, exits, instructions } = guest;
    // No CPU of today is outside of these, however busy it is.
    assert.ok(speed.kernel > 1e4 && speed.kernel < 1e11, `${speed.kernel}`);
    assert.ok(speed.user > 1e6 && speed.user < 1e11, `${speed.user}`);
    for (const cost of Object.values(exits)) {
      assert.ok(cost > 100 && cost < 1e8, `${cost} ns`);
    }
    assert.equal(guest.ioeventfd, true);
    assert.equal(guest.irqfd, true);
    const fxsave = instructions.find(({ name }) => name === "FXSAVE");
    assert.equal(fxsave?.outcome, "works");
    if (!speed.emulatesKernel) {
      assert.equal(guest.syscall, Syscall.ARRIVES);
      assert.ok(
        instructions.every(({ outcome }) => !outcome.startsWith("refused")),
      );
    }
    // What KVM refuses, Vireo carries out.
    const refused = instructions.filter(({ outcome }) => outcome === "refused");
    assert.deepEqual(refused, []);
    assert.ok(advice.length > 0);
  },
}));

Deno.test(needing([HOST_KVM], {
  name: "knownHost: measured once, and again for another host",
  async fn() {
    const folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    try {
      const path = `${folder}/new/host.json`;
      const host = await knownHost(`${folder}/new`);
      const { guest } = probeHost();
      assert.ok(!failed(guest));
      assert.equal(host.emulatesKernel, guest.speed.emulatesKernel);
      const kept = JSON.parse(Deno.readTextFileSync(path));
      assert.deepEqual(kept.host, host);

      // What is kept is used, while the key fits.
      const other = { emulatesKernel: true, refused: ["NOTHING"] };
      Deno.writeTextFileSync(path, JSON.stringify({ ...kept, host: other }));
      assert.deepEqual(await knownHost(`${folder}/new`), other);
      for (const text of [JSON.stringify({ key: "x", host: other }), "{", ""]) {
        Deno.writeTextFileSync(path, text);
        assert.deepEqual(await knownHost(`${folder}/new`), host);
      }
      // A file in the folder's place: nothing is kept, and nothing fails.
      assert.deepEqual(await knownHost(path), host);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
}));
