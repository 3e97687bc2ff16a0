/**
 * What makes a device on the device worker: one module per kind of device, with
 * a {@linkcode Maker} named `make`, loaded when a machine has such a device.
 *
 * @module
 */
import type { GuestEndHooks } from "../backends/console/channel.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import type { OwnEvent } from "../own/context.ts";
import type { VirtioDevice } from "./device.ts";

/** What a maker may use of the thread that it is on. */
export interface MakerContext {
  /** The guest's RAM. */
  readonly memory: GuestMemory;
  /** The VM's descriptor. */
  readonly vmFd: number;
  /** How a main console's channel tells the main isolate. */
  readonly console: GuestEndHooks;
  /** One line for the machine's owner. */
  log(message: string): void;
  /** An event of a module of the user's. */
  emit(event: OwnEvent): void;
}

/** Makes a device of plain data, which has come from another thread. */
export type Maker<Data> = (
  data: Data,
  context: MakerContext,
) => VirtioDevice | Promise<VirtioDevice>;
