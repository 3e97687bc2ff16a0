/**
 * Gives a device's faults the thread's timers, takes their command, and puts
 * them between the device and its queues.
 *
 * @module
 */
import { Timers } from "../runtime/timers.ts";
import type { VirtioDevice } from "../virtio/device.ts";
import { FaultyRings } from "./rings.ts";
import type { FaultCommand, Faults } from "./rules.ts";

/** What can be late. */
export interface Late {
  /** It can wait in these from now on. */
  timers: Timers | undefined;
  /** What is stalled goes on. */
  goOn(): void;
  /** The device is reset: what waits is no more. */
  reset?(): void;
}

/** `device`, whose backends are `backends`. */
export function withFaults<T extends VirtioDevice>(
  device: T,
  faults: Faults,
  backends: readonly Late[],
): T {
  const own: VirtioDevice = device;
  const of = <K extends keyof VirtioDevice>(name: K) =>
    own[name] && (own[name] as () => void).bind(own) as VirtioDevice[K];
  const [attach, activate, restore] = [
    of("attach"),
    of("activate"),
    of("restore"),
  ];
  const [command, reset, quiesce, close] = [
    of("command"),
    of("reset"),
    of("quiesce"),
    of("close"),
  ];
  const rings = new FaultyRings(faults);
  const late = [...backends, rings];
  let timers: Timers | undefined;
  faults.changed = () => late.forEach((one) => one.goOn());
  own.attach = (context) => {
    timers = new Timers(context);
    for (const one of late) one.timers = timers;
    faults.record = context.record;
    rings.attach(context);
    attach(context);
  };
  own.activate = () => {
    rings.take();
    activate();
  };
  own.restore = (state) => {
    rings.take();
    if (restore) restore(state);
    else activate();
  };
  own.command = (given) => {
    if ((given as FaultCommand | null)?.type !== "faults") {
      return command?.(given);
    }
    faults.set((given as FaultCommand).plan);
  };
  own.reset = (queue) => {
    reset(queue);
    rings.forget(queue);
    if (queue === undefined) { for (const one of backends) one.reset?.(); }
  };
  if (quiesce) {
    own.quiesce = () => {
      for (const one of late) one.goOn();
      quiesce();
      rings.goOn(); // what it was done with meanwhile
    };
  }
  own.close = () => {
    timers?.close();
    close();
  };
  return device;
}
