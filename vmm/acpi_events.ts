/**
 * What a guest with ACPI is told of while it runs.
 *
 * @module
 */
import { VmEvents } from "../ffi/kvm/vm_events.ts";
import { Gsi, Layout } from "../guest/layout.ts";
import { GuestMemory } from "../guest/memory.ts";
import type { MachineParts } from "./build.ts";

/** Parts of a machine that has its memory, and has not ended. */
type Parts = Pick<MachineParts, "vcpus" | "vmFd">;

/** Its power button is pressed. */
export function pressPowerButton(parts: Parts): void {
  const memory = GuestMemory.attach(parts.vcpus[0]!.start.memory);
  memory.bytes(Layout.BUTTON, 1)[0] = 1;
  raise(parts, Gsi.EVENTS);
  // Where a guest has its button that was saved before it had a keyboard.
  // Others look for a key, and find none.
  raise(parts, Gsi.KEYBOARD);
}

/** Its generation has changed. */
export function tellOfGeneration(parts: Parts): void {
  raise(parts, Gsi.EVENTS);
}

function raise({ vmFd }: Parts, gsi: number): void {
  const vm = new VmEvents(vmFd);
  vm.irqLine(gsi, true);
  vm.irqLine(gsi, false);
}
