/**
 * Gives a device's faults the thread's timers, and takes their command.
 *
 * @module
 */
import { Timers } from "../runtime/timers.ts";
import type { VirtioDevice } from "../virtio/device.ts";
import type { FaultCommand, Faults } from "./rules.ts";

/** What can be late. */
export interface Late {
  /** It can wait in these from now on. */
  timers: Timers | undefined;
}

/** `device`, whose backends are `backends`. */
export function withFaults<T extends VirtioDevice>(
  device: T,
  faults: Faults,
  backends: readonly Late[],
): T {
  const own: VirtioDevice = device;
  const attach = own.attach.bind(own);
  const command = own.command?.bind(own);
  const close = own.close.bind(own);
  let timers: Timers | undefined;
  own.attach = (context) => {
    timers = new Timers(context);
    for (const backend of backends) backend.timers = timers;
    attach(context);
  };
  own.command = (given) => {
    if ((given as FaultCommand | null)?.type !== "faults") {
      return command?.(given);
    }
    faults.set((given as FaultCommand).plan);
  };
  own.close = () => {
    timers?.close();
    close();
  };
  return device;
}
