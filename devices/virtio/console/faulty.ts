/**
 * Makes a console whose ports have faults.
 *
 * @module
 */
import { FaultyConsole } from "../../faults/console.ts";
import { type FaultPlan, Faults } from "../../faults/rules.ts";
import { withFaults } from "../../faults/with_faults.ts";
import type { MakerContext } from "../maker.ts";
import { Console } from "./console.ts";
import type { PortOptions } from "./ports.ts";
import { AGENT_PORT } from "./spec.ts";

/** The device; the agent's port has none: it is how the guest is asked. */
export function faultyConsole(
  ports: readonly PortOptions[],
  plan: FaultPlan,
  { emit }: MakerContext,
): Console {
  const faults = new Faults("console", "console", plan, emit);
  const backends: FaultyConsole[] = [];
  const faulty = ports.map((port) => {
    if (port.name === AGENT_PORT) return port;
    const backend = new FaultyConsole(port.backend, faults);
    backends.push(backend);
    return { ...port, backend };
  });
  return withFaults(new Console(faulty), faults, backends);
}
