/**
 * What a trace is made of.
 *
 * @module
 */
import type { DeviceStep } from "../../devices/virtio/device_record.ts";
import type { MachineState } from "../machine_state.ts";
import type { RequestType } from "./layout.ts";

/** What all events have. */
export interface EventCommon {
  /** When it began: CLOCK_MONOTONIC, in nanoseconds. */
  time: number;
  /** Its number among those of its thread, from where the trace began on. */
  number: number;
}

/** A vCPU has left the guest, and Vireo has answered it. */
export interface ExitEvent extends EventCommon {
  /** What it is. */
  type: "exit";
  /** The vCPU. */
  vcpu: number;
  /** Nanoseconds until it was answered. */
  duration: number;
  /** `KVM_EXIT_*`, such as `mmio` and `io`. */
  reason: string;
  /** Whose register it was, such as `serial` or a device's name. */
  device?: string;
  /** The register's name, such as `QueueNotify`. */
  register?: string;
  /** Of `mmio` the guest address, of `io` the port. */
  address?: number;
  /** Bytes of the access. */
  size?: number;
  /** The guest writes. */
  write?: boolean;
  /** What it has written or read; of 8 bytes, as a double has it. */
  value?: number;
  /** Accesses; more than one of a string instruction. */
  count?: number;
}

/** The driver rang a queue's doorbell. */
export interface DoorbellEvent extends EventCommon {
  /** What it is. */
  type: "doorbell";
  /** The device's name. */
  device: string;
  /** The queue's number. */
  queue: number;
}

/** A request has begun. */
export interface BeginEvent extends EventCommon {
  /** What it is. */
  type: "begin";
  /** The device's name. */
  device: string;
  /** The queue's number. */
  queue: number;
  /** What is requested. */
  request: RequestType;
  /** Where, in units of 512 bytes. */
  sector: number;
  /** Bytes of its data. */
  bytes: number;
}

/** A request has ended. */
export interface RequestEvent extends Omit<BeginEvent, "type"> {
  /** What it is. */
  type: "request";
  /** Nanoseconds that it took. */
  duration: number;
  /** As the driver has it: 0 is well. Undefined: the driver dropped it. */
  status: number | undefined;
  /** When the doorbell rang that it was found by; undefined: by none. */
  doorbell: number | undefined;
}

/** The guest was interrupted. */
export interface InterruptEvent extends EventCommon {
  /** What it is. */
  type: "interrupt";
  /** The device's name. */
  device: string;
  /** The queue's number; -1: its configuration has changed. */
  queue: number;
}

/** A frame went through a network's queue. */
export interface FrameEvent extends EventCommon {
  /** What it is. */
  type: "frame";
  /** The device's name. */
  device: string;
  /** The queue's number: even, to the guest. */
  queue: number;
  /** Its bytes; not above 0: it was lost. */
  bytes: number;
}

/** A step of a device's life. */
export interface StepEvent extends EventCommon {
  /** What it is. */
  type: "step";
  /** The device's name. */
  device: string;
  /** What it was. */
  step: DeviceStep;
  /** Why, if there is more to say. */
  why: string;
}

/** An event of a device of one's own. */
export interface OwnDeviceEvent extends EventCommon {
  /** What it is. */
  type: "own";
  /** The device's name. */
  device: string;
  /** What the device calls it. */
  name: string;
  /** Its number, if it had one. */
  value: number;
}

/** The machine is in another state: it pauses, to be saved, or goes on. */
export interface StateEvent extends EventCommon {
  /** What it is. */
  type: "state";
  /** What it is now. */
  state: MachineState;
  /** What is done while it is paused: `snapshot`, `reset`, `introspect`. */
  work?: string;
}

/** Events were overwritten before they were read, or too many to be wanted. */
export interface LostEvent extends EventCommon {
  /** What it is. */
  type: "lost";
  /** Whose: `vcpu 0`, or `devices`. */
  thread: string;
  /** How many. */
  count: number;
}

/** Something that happened in a machine. */
export type TraceEvent =
  | ExitEvent
  | DoorbellEvent
  | BeginEvent
  | RequestEvent
  | InterruptEvent
  | FrameEvent
  | StepEvent
  | OwnDeviceEvent
  | StateEvent
  | LostEvent;

/** What an event can be. */
export type TraceEventType = TraceEvent["type"];

/** Which events are wanted. */
export interface TraceFilter {
  /** Of these types; default: all. `lost` comes in any case. */
  types?: readonly TraceEventType[];
  /** Exits of these vCPUs; default: all. */
  vcpus?: readonly number[];
  /** Of these devices, by their names; default: all. */
  devices?: readonly string[];
  /**
   * Of what comes at once of a thread, only so many, the last: the cost is
   * bounded then, and `lost` has the others. Default: all.
   */
  last?: number;
  /** Ends them, also while none comes. */
  signal?: AbortSignal;
}
