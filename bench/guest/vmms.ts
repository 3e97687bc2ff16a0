/**
 * How each VMM is started with the guest.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { DEFAULT_BOOT_ARGS } from "../../vmm/config/boot_args.ts";
import { TAP } from "../paths/network.ts";
import { MICROVM } from "../paths/qemu.ts";

/** What all of them run. */
export interface Guest {
  /** The kernel's path. */
  kernel: string;
  /** The root image's path. */
  rootfs: string;
  /** The data disk's path. */
  disk: string;
  /** A folder for files. */
  folder: string;
  /** RAM in MiB. */
  memory: number;
  /** The namespace that the TAP is in. */
  netns: string;
  /** What the guest's shell is to do. */
  commands: string;
}

/** A VMM. */
export interface Vmm {
  /** Its name in the table. */
  name: string;
  /** Its command line. */
  command(guest: Guest): Promise<string[]>;
}

function mainOf(folder: string): string {
  try {
    return Deno.realPathSync(`${folder}/main.ts`);
  } catch {
    throw new VireoError(`--against: no main.ts in "${folder}"`);
  }
}

function words({ commands }: Guest): string {
  return `VIREO_NONCE=0 VIREO_EXEC="${commands}"`;
}

/** Vireo of this checkout, or of the one in `folder`. */
export function vireo(transport: "mmio" | "pci", folder?: string): Vmm {
  const main = folder === undefined
    ? new URL("../../main.ts", import.meta.url).pathname
    : mainOf(folder);
  return {
    name: `Vireo, ${transport}${folder === undefined ? "" : ", before"}`,
    async command(guest) {
      const config = `${guest.folder}/config.json`;
      const drive = (drive_id: string, path: string, root: boolean) => ({
        ...{ drive_id, path_on_host: path },
        ...{ is_root_device: root, is_read_only: root },
      });
      await Deno.writeTextFile(
        config,
        JSON.stringify({
          "boot-source": {
            kernel_image_path: guest.kernel,
            boot_args: `${DEFAULT_BOOT_ARGS} ${words(guest)}`,
          },
          "machine-config": { mem_size_mib: guest.memory, transport },
          drives: [
            drive("root", guest.rootfs, true),
            drive("data", guest.disk, false),
          ],
          "network-interfaces": [
            { iface_id: "eth0", host_dev_name: TAP, netns: guest.netns },
          ],
        }),
      );
      return [Deno.execPath(), "run", "-A", main, "run", "--config", config];
    },
  };
}

/** QEMU's microvm, over MMIO. */
export function qemu(): Vmm {
  return {
    name: "QEMU, mmio",
    // QEMU has nobody to carry out an XSAVE that KVM refuses.
    command: (guest) =>
      Promise.resolve([
        ...["ip", "netns", "exec", guest.netns, ...MICROVM],
        ...["-m", `${guest.memory}`, "-kernel", guest.kernel, "-append"],
        `${DEFAULT_BOOT_ARGS} noxsave root=/dev/vda ro ${words(guest)}`,
        ...["-object", "iothread,id=io"],
        "-drive",
        `id=root,if=none,format=raw,readonly=on,file=${guest.rootfs}`,
        ...["-device", "virtio-blk-device,drive=root,iothread=io"],
        "-drive",
        `id=data,if=none,format=raw,aio=io_uring,file=${guest.disk}`,
        ...["-device", "virtio-blk-device,drive=data,iothread=io"],
        "-netdev",
        `tap,id=net,ifname=${TAP},script=no,downscript=no`,
        ...["-device", "virtio-net-device,netdev=net"],
      ]),
  };
}
