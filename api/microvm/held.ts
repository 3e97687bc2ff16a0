/**
 * Devices whose host side is opened by the request that describes them, and
 * becomes the machine's when that is made.
 *
 * @module
 */
import type { ResolvedConfig } from "../../vmm/config/resolve.ts";
import type {
  AdjustableLimits,
  RateLimits,
} from "../../devices/runtime/rate_limiter.ts";
import type { BlkData } from "../../devices/virtio/blk/make.ts";
import type { NetData } from "../../devices/virtio/net/make.ts";
import type { FilledInterface } from "../../vmm/devices/net.ts";
import { mmdsSettings } from "../../vmm/devices/mmds.ts";
import type { Kind, Opened } from "../../vmm/devices/kind.ts";

/** What is open for one device. */
interface Held {
  readonly opened: Opened<unknown>;
  readonly stack: DisposableStack;
  readonly undo: DisposableStack;
}

/** What is open, by the devices' names as {@linkcode Machine.command} has them. */
export class HeldDevices {
  readonly #held = new Map<string, Held>();
  readonly #opened = new Map<string, Opened<unknown>>();

  /**
   * Opens a device, in the place of one of its name.
   *
   * @param config as it stands in a configuration
   */
  async open(name: string, kind: Kind, config: unknown): Promise<void> {
    this.release(name);
    using stack = new DisposableStack(); // unless all is open
    using undo = new DisposableStack();
    const opened = await kind.open(kind.rule.fill(config), stack, undo);
    const held = { opened, stack: stack.move(), undo: undo.move() };
    this.#held.set(name, held);
  }

  /** Closes a device, if it is open. */
  release(name: string): void {
    const held = this.#held.get(name);
    this.#held.delete(name);
    held?.stack.dispose();
    held?.undo.dispose();
  }

  /** Closes all that no machine has. */
  releaseAll(): void {
    for (const name of [...this.#held.keys()]) this.release(name);
  }

  /** Lets a machine of `config` have what is open, and opens the rest. */
  give(config: ResolvedConfig): void {
    for (const device of config.devices) {
      const { kind } = device;
      const open: Kind["open"] = async (config, stack, undo) => {
        const name = nameOf(config);
        const held = name === undefined ? undefined : this.#held.get(name);
        if (held) {
          this.#held.delete(name!);
          stack.use(held.stack);
          undo.use(held.undo);
        }
        const opened = held?.opened ?? await kind.open(config, stack, undo);
        makeAdjustable(opened.data);
        // Said of an interface after it was opened.
        const { mmds } = config as Partial<FilledInterface>;
        if (mmds) (opened.data as NetData).mmds = mmdsSettings(mmds);
        this.#opened.set(opened.name, opened);
        return opened;
      };
      device.kind = { ...kind, open };
    }
  }

  /** The machine runs: its sockets' names stay after it, as Firecracker's do. */
  keepNames(): void {
    for (const { names = [] } of this.#opened.values()) {
      for (const name of names) name.keep();
    }
  }

  /** What a device of the machine is made of. */
  dataOf(name: string): unknown {
    return this.#opened.get(name)?.data;
  }
}

/** Requests may give the device another image, and other limits. */
function makeAdjustable(data: unknown): void {
  const { image, options } = data as Partial<BlkData>;
  const { target, limits } = data as Partial<NetData>;
  if (image !== undefined && options !== undefined) {
    image.replaceable = true;
    options.limits = adjustable(options.limits);
  } else if (target !== undefined && limits !== undefined) {
    limits.rx = adjustable(limits.rx);
    limits.tx = adjustable(limits.tx);
  }
}

function adjustable(limits: RateLimits | undefined): AdjustableLimits {
  return { ...limits, adjustable: true };
}

/** The name that a device's configuration tells; undefined: there is one. */
function nameOf(config: unknown): string | undefined {
  const { drive_id, iface_id, uds_path } = config as Record<string, string>;
  return drive_id ?? iface_id ?? (uds_path === undefined ? undefined : "vsock");
}
