/**
 * The kinds of virtio devices: the one table. A kind is a file beside this one,
 * and a maker beside its device.
 *
 * @module
 */
import { BALLOON, type MemoryBalloon } from "./balloon.ts";
import { BLK, type Drive } from "./blk.ts";
import { CONSOLE, type ConsoleSocket, type VirtioConsole } from "./console.ts";
import type { Kind } from "./kind.ts";
import { type CustomDevice, MODULE } from "./module.ts";
import { type BusDeviceConfig, PLAIN } from "./plain.ts";
import type { MetadataService } from "./mmds.ts";
import { NET, type NetworkInterface } from "./net.ts";
import { type Entropy, RNG } from "./rng.ts";
import { VSOCK, type Vsock, type VsockListener } from "./vsock.ts";

export { BalloonHandle } from "./balloon_handle.ts";
export type {
  BusDeviceConfig,
  ConsoleSocket,
  CustomDevice,
  Drive,
  Entropy,
  MemoryBalloon,
  MetadataService,
  NetworkInterface,
  VirtioConsole,
  Vsock,
  VsockListener,
};

/** The keys of a configuration that are devices. */
export interface DeviceKeys {
  /** Disks: vda, vdb, ... in this order, but the root device first. */
  drives?: Drive[];
  /** Networks: eth0, eth1, ... in this order. */
  "network-interfaces"?: NetworkInterface[];
  /** Sockets between the guest and host programs. */
  vsock?: Vsock;
  /** Takes memory back from the guest; default: no such device. */
  balloon?: MemoryBalloon;
  /** Random numbers for the guest; default: no such device. */
  entropy?: Entropy;
  /** A console beside or instead of the serial one. */
  console?: VirtioConsole;
  /** Devices of the user's own, after all others. */
  devices?: CustomDevice[];
  /** And those without virtio. */
  "bus-devices"?: BusDeviceConfig[];
}

/** A kind for each key, of the type of its value. */
type Kinds = {
  readonly [K in keyof DeviceKeys]-?: NonNullable<DeviceKeys[K]> extends
    (infer T)[] ? Kind<T, unknown> & { list: true }
    : Kind<NonNullable<DeviceKeys[K]>, unknown> & { list: false };
};

/** Each kind by its key, in the order of documents. */
export const KINDS: Kinds = {
  drives: BLK,
  "network-interfaces": NET,
  vsock: VSOCK,
  balloon: BALLOON,
  entropy: RNG,
  console: CONSOLE,
  devices: MODULE,
  "bus-devices": PLAIN,
};
