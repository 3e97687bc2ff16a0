/**
 * What Firecracker has not: a description of it all, and Vireo's own under
 * `/vireo/`, which is absent with `--strict`.
 *
 * @module
 */
import project from "../../deno.json" with { type: "json" };
import {
  execBody,
  faultsBody,
  forkBody,
  resetBody,
  traceBody,
} from "../body/own_shapes.ts";
import { any } from "../body/shape.ts";
import { Fault } from "../fault.ts";
import { LAST_ANSWER } from "../http/answer.ts";
import { fault } from "../microvm/texts.ts";
import { FIRECRACKER_VERSION } from "../version.ts";
import { type Api, type Endpoint, endpoint } from "./endpoint.ts";

const PREFIX = "Vireo error";

// No literals in `import()`: those are read at the start, needed or not.
const FORK = new URL("../own/fork.ts", import.meta.url).href;
const CONFIG = new URL("../own/config.ts", import.meta.url).href;
const MACHINE = new URL("../own/machine.ts", import.meta.url).href;

type OwnMachine = typeof import("../own/machine.ts");

/** `/openapi.json`, `/vireo/…` */
export const OWN_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "GET",
    segment: "openapi.json",
    when: "always",
    about: "This description.",
    prefix: "Internal VMM error",
    async run({ table }) {
      const { openApi } = await import("./openapi.ts");
      return openApi(table);
    },
  }),
  own({
    method: "GET",
    rest: ["version"],
    when: "always",
    about: "Versions of Vireo and of what it runs on.",
    run: () => ({
      vireo: project.version,
      deno: Deno.version.deno,
      firecracker: FIRECRACKER_VERSION,
    }),
  }),
  own({
    method: "PUT",
    rest: ["config"],
    when: "before",
    about: "Adds what Firecracker's requests have no words for, in the form " +
      "of Vireo's configuration file.",
    body: any,
    async run(api, body) {
      const { addOwn }: typeof import("../own/config.ts") = await import(
        CONFIG
      );
      addOwn(api, body);
    },
  }),
  own({
    method: "GET",
    rest: ["config"],
    when: "always",
    about: "What was added by that.",
    run: ({ vm }) => vm.draft.own,
  }),
  own({
    method: "GET",
    rest: ["state"],
    when: "after",
    about: "Registers, memory, devices and their queues; a running guest is " +
      "stopped for it.",
    run: async ({ vm }) => (await ownMachine()).stateOf(vm),
  }),
  own({
    method: "PUT",
    rest: ["exec"],
    when: "after",
    about: "Runs a command in a guest with Vireo's agent, to its end.",
    body: execBody,
    answers: true,
    async run(api, body) {
      checkAllowed(api, "exec");
      return (await ownMachine()).exec(api.vm, body);
    },
  }),
  own({
    method: "PUT",
    rest: ["faults"],
    when: "after",
    about: "Says what happens to some of a device's requests or frames.",
    body: faultsBody,
    async run(api, { device, ...plan }) {
      checkAllowed(api, "faults");
      await (await ownMachine()).setFaults(api.vm, device, plan);
    },
  }),
  own({
    method: "PUT",
    rest: ["trace"],
    when: "after",
    about: "Writes what happens in the machine to a file, from now on.",
    body: traceBody,
    run: async ({ vm }, body) => await (await ownMachine()).trace(vm, body),
  }),
  own({
    method: "DELETE",
    rest: ["trace"],
    when: "after",
    about: "Ends that.",
    run: async ({ vm }) => await (await ownMachine()).endTrace(vm),
  }),
  own({
    method: "PUT",
    rest: ["reset"],
    when: "after",
    about: "Puts the machine back to a snapshot of its own.",
    body: resetBody,
    run: async ({ vm }, body) => await (await ownMachine()).reset(vm, body),
  }),
  own({
    method: "PUT",
    rest: ["fork"],
    when: "after",
    about: "Makes a second machine that goes on as this one does, in this " +
      "process, with a socket of its own.",
    body: forkBody,
    async run(api, body) {
      const { fork }: typeof import("../own/fork.ts") = await import(FORK);
      await fork(api, body);
    },
  }),
  own({
    method: "PUT",
    rest: ["stop"],
    when: "after",
    about: "Ends the machine: a fork alone, the first one with the process.",
    run({ vm }) {
      // The answer goes out first.
      setTimeout(() => void vm.machine.stop(), LAST_ANSWER);
    },
  }),
];

/** Without Vireo's own. */
export function strict(table: readonly Endpoint[]): readonly Endpoint[] {
  return table.filter(({ segment }) => segment !== "vireo");
}

/** A row under `/vireo/`. */
function own<T>(row: Omit<Endpoint<T>, "segment" | "prefix">): Endpoint {
  return endpoint<T>({
    ...row,
    segment: "vireo",
    prefix: PREFIX,
    async run(api, body, id) {
      try {
        return await row.run(api, body, id);
      } catch (error) {
        throw fault(PREFIX, error);
      }
    },
  });
}

function ownMachine(): Promise<OwnMachine> {
  return import(MACHINE);
}

/** @throws {Fault} the process was not started for it */
export function checkAllowed({ allowsModules }: Api, what: string): void {
  if (allowsModules) return;
  throw new Fault(
    `${PREFIX}: ${what}: only where the process was started with ` +
      "--allow-modules",
  );
}
