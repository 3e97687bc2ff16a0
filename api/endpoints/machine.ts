/**
 * What the machine is, and what it does.
 *
 * @module
 */
import {
  action,
  bootSource,
  cpuConfig,
  machineConfig,
  machineUpdate,
  vm,
} from "../body/shapes.ts";
import { Fault } from "../fault.ts";
import type { Draft } from "../microvm/draft.ts";
import { machineText } from "../microvm/draft.ts";
import type { MicroVm } from "../microvm/microvm.ts";
import { fault, objection } from "../microvm/texts.ts";
import { FIRECRACKER_VERSION } from "../version.ts";
import { type Api, type Endpoint, endpoint } from "./endpoint.ts";

const MACHINE = "Machine config error";
const INTERNAL = "Internal VMM error";

/** As clients know them. */
const STATES = {
  "not started": "Not started",
  running: "Running",
  paused: "Paused",
  ended: "Not started",
} as const;

/** What the machine is made of, and its life. */
export const MACHINE_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "GET",
    segment: "",
    when: "always",
    about: "The machine, and its state.",
    prefix: INTERNAL,
    counter: "instance_info",
    run: ({ vm }) => ({
      id: vm.surroundings.id,
      state: STATES[vm.phase],
      vmm_version: FIRECRACKER_VERSION,
      app_name: "Firecracker",
    }),
  }),
  endpoint({
    method: "GET",
    segment: "version",
    when: "always",
    about: "Firecracker's version, whose contract this is.",
    prefix: INTERNAL,
    counter: "vmm_version",
    run: () => ({ firecracker_version: FIRECRACKER_VERSION }),
  }),
  endpoint({
    method: "GET",
    segment: "vm",
    rest: ["config"],
    when: "always",
    about: "All that was said of the machine.",
    prefix: INTERNAL,
    run: ({ vm }) => vm.draft.describe(),
  }),
  endpoint({
    method: "GET",
    segment: "machine-config",
    when: "always",
    about: "vCPUs and memory.",
    prefix: MACHINE,
    counter: "machine_cfg",
    run: ({ vm }) => machineText(vm.draft.machine),
  }),
  endpoint({
    method: "PUT",
    segment: "machine-config",
    when: "before",
    about: "Sets vCPUs and memory; what is left out has its default again.",
    body: machineConfig,
    prefix: MACHINE,
    counter: "machine_cfg",
    deprecated: ({ cpu_template }) => cpu_template !== undefined,
    run({ vm }, body) {
      const { cpu_template = vm.draft.machine.cpu_template, ...rest } = body;
      setMachine(vm, { ...rest, cpu_template });
    },
  }),
  endpoint({
    method: "PATCH",
    segment: "machine-config",
    when: "before",
    about: "Changes some of vCPUs and memory.",
    body: machineUpdate,
    prefix: MACHINE,
    counter: "machine_cfg",
    deprecated: ({ cpu_template }) => cpu_template !== undefined,
    run({ vm }, body) {
      const given = Object.entries(body).filter(([, v]) => v !== undefined);
      setMachine(vm, { ...vm.draft.machine, ...Object.fromEntries(given) });
    },
  }),
  endpoint({
    method: "PUT",
    segment: "cpu-config",
    when: "before",
    about: "Changes what the guest sees of its CPUs.",
    body: cpuConfig,
    prefix: "Configure CPU error",
    counter: "cpu_cfg",
    run({ vm }, body) {
      // It says nothing of a machine that comes from a snapshot.
      const { touched } = vm.draft;
      const draft = vm.tried((draft) => draft.cpu = body);
      draft.touched = touched;
      vm.become(draft);
    },
  }),
  endpoint({
    method: "PUT",
    segment: "boot-source",
    when: "before",
    about: "Sets what to boot.",
    body: bootSource,
    prefix: "Boot source error",
    counter: "boot_source",
    run({ vm }, boot) {
      readable(boot.kernel_image_path, "The kernel file cannot be opened:");
      if (boot.initrd_path !== undefined) {
        const what =
          "The initrd file cannot be opened due to invalid path or " +
          "invalid permissions.";
        readable(boot.initrd_path, what);
      }
      vm.change((draft) => draft.boot = boot);
    },
  }),
  endpoint({
    method: "PUT",
    segment: "actions",
    when: "always",
    about: "Starts the guest, writes metrics, or presses Ctrl+Alt+Del.",
    body: action,
    prefix: INTERNAL,
    counter: "actions",
    run: (api, { action_type }) => ACTIONS[action_type](api),
  }),
  endpoint({
    method: "PATCH",
    segment: "vm",
    when: "after",
    about: "Pauses the guest, or lets it go on.",
    body: vm,
    prefix: INTERNAL,
    async run({ vm, metrics }, { state }) {
      const start = performance.now();
      const pause = state === "Paused";
      await (pause ? vm.controller.pause() : vm.controller.resume());
      const took = (performance.now() - start) * 1000;
      metrics.took(pause ? "pause_vm" : "resume_vm", took);
    },
  }),
];

const ACTIONS = {
  async InstanceStart({ vm }: Api): Promise<void> {
    if (vm.started) throw notNow("after");
    await vm.start();
  },
  async FlushMetrics({ vm, metrics }: Api): Promise<void> {
    if (!vm.started) throw notNow("before");
    metrics.flush(vm.surroundings.log.missed, await vm.deviceMetrics());
  },
  SendCtrlAltDel({ vm }: Api): void {
    if (!vm.started) throw notNow("before");
    try {
      vm.machine.ctrlAltDelete();
    } catch (error) {
      throw fault(`${INTERNAL}: I8042 error`, error);
    }
  },
};

function notNow(when: "before" | "after"): Fault {
  const what = "The requested operation is not supported";
  return new Fault(`${what} ${when} starting the microVM.`);
}

/** @throws {Fault} what is wrong */
function setMachine(vm: MicroVm, machine: Draft["machine"]): void {
  const { cpu_template, huge_pages, mem_size_mib } = machine;
  if (cpu_template !== undefined && cpu_template !== "None") {
    throw new Fault(
      `${MACHINE}: CPU templates are not supported by Vireo: ${cpu_template}`,
    );
  }
  if (huge_pages !== "None" && mem_size_mib % 2 !== 0) {
    throw new Fault(
      `${MACHINE}: The memory size (MiB) is either 0, or not a multiple of ` +
        "the configured page size.",
    );
  }
  vm.change((draft) => draft.machine = machine);
}

/** @throws {Fault} it can't be read */
function readable(path: string, what: string): void {
  try {
    Deno.openSync(path).close();
  } catch (error) {
    throw new Fault(`Boot source error: ${what} ${objection(error)}`);
  }
}
