/** A machine on hosts whose KVM is another than this one's. */
import assert from "node:assert/strict";
import { Cap, requireCapabilities, REQUIRED } from "../ffi/kvm/capabilities.ts";
import { Errno } from "../ffi/errno.ts";
import { Kvm } from "../ffi/kvm/kvm.ts";
import { ALONE, KVM, needing } from "../ffi/testing/needs.ts";
import {
  type KvmCall,
  KvmRequest,
  OtherKvm,
} from "../ffi/testing/other_kvm.ts";
import { buildElf } from "../guest/testing/mod.ts";
import { vcpuCpuid } from "../guest/boot/cpuid.ts";
import { Msr } from "../ffi/kvm/msr.ts";
import type { MachineConfig, VmConfig } from "./config/types.ts";
import { readPayload } from "../images/payload/payload.ts";
import { Machine } from "./machine.ts";
import { runMachine, ScratchFile } from "./testing/mod.ts";
import { FakeWorkers } from "./testing/workers.ts";

/** `KVM_MEM_READONLY`. */
const READONLY = 2;

const { EXIT_ON_EMULATION_FAILURE, X86_USER_SPACE_MSR, PMU_CAPABILITY } = Cap;

/** A machine that is never started. */
function config(machine: MachineConfig = {}): VmConfig {
  const bytes = Uint8Array.of(0xf4); // hlt
  const kernel = buildElf({ segments: [{ address: 0x10_0000n, bytes }] });
  return {
    "boot-source": { kernel_image_path: kernel, boot_args: "" },
    "machine-config": { mem_size_mib: 8, ...machine },
  };
}

async function make(machine?: MachineConfig): Promise<void> {
  using _workers = new FakeWorkers();
  await using _machine = await Machine.create(config(machine));
}

function hostTest(name: string, fn: () => void | Promise<void>): void {
  Deno.test(needing([KVM, ALONE], { name: `other host: ${name}`, fn }));
}

// The host is asked once, so this comes first: what fails is not remembered.
hostTest(
  "a capability that is missing is named before anything is made",
  async () => {
    using kvm = new OtherKvm({ IOEVENTFD: 0, IRQFD: 0 });
    await assert.rejects(make(), {
      name: "VireoError",
      message:
        "this KVM has no KVM_CAP_IOEVENTFD (doorbells without an exit), " +
        "no KVM_CAP_IRQFD (interrupts from a device's thread); a newer kernel " +
        "is needed on this host",
    });
    const CREATE_VM = 1;
    assert.deepEqual(kvm.those(CREATE_VM), []);
  },
);

Deno.test("other host: each required capability is asked for, once", () => {
  for (const missing of REQUIRED.keys()) {
    const asked: number[] = [];
    const checkExtension = (cap: number) => {
      asked.push(cap);
      return cap === Cap[missing] ? 0 : 1;
    };
    assert.throws(
      () => requireCapabilities({ checkExtension }),
      new RegExp(`^VireoError: this KVM has no KVM_CAP_${missing} \\(`),
    );
    assert.equal(new Set(asked).size, asked.length);
    assert.equal(asked.length, REQUIRED.size);
  }
  requireCapabilities({ checkExtension: () => 1 });
});

hostTest(
  "where the CPU runs guest kernels, KVM is not asked to report what it refuses",
  async () => {
    using kvm = new OtherKvm({ NESTED_STATE: 4096 });
    await make({ carry_syscalls: true });
    assert.equal(kvm.enabled.includes(EXIT_ON_EMULATION_FAILURE), false);
    assert.equal(kvm.enabled.includes(X86_USER_SPACE_MSR), false);
  },
);

hostTest(
  "where KVM emulates guest kernels, it is asked to report what it refuses",
  () => {
    using system = new Kvm();
    using vm = system.createVm();
    using kvm = new OtherKvm({ EXIT_ON_EMULATION_FAILURE: 1 });
    vm.exitOnEmulationFailure();
    assert.deepEqual(kvm.enabled, [EXIT_ON_EMULATION_FAILURE]);
    using old = new OtherKvm({ EXIT_ON_EMULATION_FAILURE: 0 });
    vm.exitOnEmulationFailure();
    assert.deepEqual(old.enabled, [], "Linux before 5.15");
  },
);

hostTest("an MSR that KVM refuses is named with its value", async () => {
  const seventh = ({ request }: KvmCall) =>
    request === KvmRequest.SET_MSRS ? 9 : undefined;
  using _kvm = new OtherKvm({}, seventh);
  const index = Msr.MTRR_DEF_TYPE.toString(16);
  await assert.rejects(make(), {
    name: "VireoError",
    message: `KVM_SET_MSRS: KVM refuses the value 0x806 for MSR 0x${index}`,
  });
});

hostTest(
  "an MSR that this KVM doesn't know is named, too, and those before it are set",
  () => {
    using system = new Kvm();
    using vm = system.createVm();
    using vcpu = vm.createVcpu(0);
    const UNKNOWN = 0x1234_5678;
    assert.equal(vcpu.getMsr(UNKNOWN), undefined);
    assert.equal(vcpu.trySetMsr(UNKNOWN, 1n), false);
    assert.throws(
      () => vcpu.setMsrs([[Msr.STAR, 7n], [UNKNOWN, 1n], [Msr.CSTAR, 9n]]),
      /^VireoError: KVM_SET_MSRS: KVM refuses the value 0x1 for MSR 0x12345678$/,
    );
    assert.equal(vcpu.getMsr(Msr.STAR), 7n);
    assert.equal(vcpu.getMsr(Msr.CSTAR), 0n);
  },
);

hostTest(
  "late ticks of the timer don't come in a burst, where KVM can leave them out",
  async () => {
    using kvm = new OtherKvm({ REINJECT_CONTROL: 1 });
    await make();
    const [call, ...more] = kvm.those(KvmRequest.REINJECT_CONTROL);
    assert.deepEqual(call!.bytes, new Uint8Array(32), "reinjection is off");
    assert.deepEqual(more, []);
    using old = new OtherKvm({ REINJECT_CONTROL: 0 });
    await make();
    assert.deepEqual(old.those(KvmRequest.REINJECT_CONTROL), []);
  },
);

hostTest(
  "performance counters are taken from the vCPUs, unless they are asked for",
  async () => {
    const enable = ({ request, bytes }: KvmCall) => {
      const isPmu = request === KvmRequest.ENABLE_CAP &&
        new DataView(bytes!.buffer).getUint32(0, true) === PMU_CAPABILITY;
      return isPmu ? 0 : undefined;
    };
    using kvm = new OtherKvm({ PMU_CAPABILITY: 1 }, enable);
    await make();
    assert.ok(kvm.enabled.includes(PMU_CAPABILITY));
    const [{ bytes }] = kvm.those(KvmRequest.ENABLE_CAP) as [KvmCall];
    const DISABLE = 1n;
    assert.equal(new DataView(bytes!.buffer).getBigUint64(8, true), DISABLE);
    using old = new OtherKvm({ PMU_CAPABILITY: 0 }, enable);
    await make();
    assert.deepEqual(old.enabled, [], "Linux before 5.18");
  },
);

hostTest(
  "registers exit where KVM has no read-only memory, or refuses it, and all works",
  async () => {
    const readOnly = ({ request, bytes }: KvmCall) =>
      request === KvmRequest.SET_USER_MEMORY_REGION &&
      new DataView(bytes!.buffer).getUint32(4, true) === READONLY;
    const refused = (call: KvmCall) =>
      readOnly(call) ? -Errno.ENOMEM : undefined;
    for (const READONLY_MEM of [0, 1]) {
      using kvm = new OtherKvm({ READONLY_MEM }, refused);
      using disk = new ScratchFile(8 << 20);
      const drive = { drive_id: "d0", path_on_host: disk.path };
      const { output } = await runMachine({
        "boot-source": {
          kernel_image_path: await readPayload(),
          boot_args: "demo",
        },
        "machine-config": { mem_size_mib: 64 },
        drives: [{ ...drive, is_root_device: false }],
      });
      assert.match(output, /1 MiB verified \(interrupts\)/);
      assert.match(output, /^payload: ok/m);
      assert.equal(kvm.calls.filter(readOnly).length, READONLY_MEM);
    }
  },
);

hostTest("a host whose CPUs another hypervisor has is told so", async () => {
  const busy = ({ request }: KvmCall) =>
    request === KvmRequest.CREATE_VM ? -Errno.EBUSY : undefined;
  using _kvm = new OtherKvm({}, busy);
  await assert.rejects(
    make(),
    /^SystemError: KVM_CREATE_VM: EBUSY .*; another hypervisor has .*: end it$/,
  );
});

hostTest(
  "what this KVM doesn't offer to guests can't be asked for",
  async () => {
    using system = new Kvm();
    const supported = system.getSupportedCpuid();
    for (const key of ["nested", "pmu"] as const) {
      const offered = outcome(() =>
        vcpuCpuid(supported, { cpu: 0, cpus: 1, [key]: true })
      );
      assert.match(
        offered,
        new RegExp(`^(|.*machine-config.${key}: this host's)`),
      );
      const made = await make({ [key]: true }).then(() => "", String);
      assert.equal(made, offered);
    }
  },
);

/** Empty, or what `action` throws. */
function outcome(action: () => void): string {
  try {
    action();
    return "";
  } catch (error) {
    return String(error);
  }
}
