/**
 * Fuzzes whole probes of Linux's own driver of a network, or of a disk:
 *
 *     deno run -A examples/lab/fuzz_linux.ts net 100
 */
import { Machine, prepare, prepared } from "../../mod.ts";
import type { GuestMemory, Snapshot } from "../../mod.ts";
import { Blk, Fuzzer, HandlerBackend, Net } from "../../lab.ts";
import { type FuzzerOptions, openRawImage, rawBackend } from "../../lab.ts";

const HEADER = 12; // virtio_net_hdr_v1
const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
const handler = import.meta.resolve("../pong.ts");

/** A network with nobody in it. */
export function quietNet(memory: GuestMemory): Net {
  return new Net([new HandlerBackend(() => [], memory, HEADER, () => {})], mac);
}

/** Linux without a driver for its second device, and how that is fuzzed. */
export async function linuxDriver(
  what: string,
): Promise<[Snapshot, FuzzerOptions]> {
  const { kernel, rootfs: path } = await prepared() ?? await prepare();
  const root = { drive_id: "root", path_on_host: path, is_read_only: true };
  const drives = [{ ...root, is_root_device: true }];
  const disk = { ...root, drive_id: "blk", is_root_device: false };
  await using machine = await Machine.create({
    "boot-source": {
      kernel_image_path: kernel,
      boot_args:
        "console=ttyS0 quiet panic=-1 virtio.unbound=2 clocksource=kvm-clock",
    },
    drives: what === "blk" ? [...drives, disk] : drives,
    "network-interfaces": what === "net" ? [{ iface_id: "net", handler }] : [],
    console: { agent: true },
  });
  machine.start();
  const bind = `cd /sys/bus/virtio/drivers/virtio_${what}; echo virtio1 >bind`;
  // The root disk is none for a fuzzer: what binding needs is in memory then.
  await machine.exec(`${bind}; echo virtio1 >unbind`);
  const image = () => openRawImage({ path, readOnly: true });
  return [await machine.snapshot(), {
    device: {
      name: what,
      model: (memory) =>
        what === "blk"
          ? new Blk(rawBackend(image(), 64, "Sync"), what)
          : quietNet(memory),
    },
    input: `${bind}; echo done\n`,
    until: { text: /^done/ },
  }];
}

if (import.meta.main) {
  const [what = "net", tries = "100"] = Deno.args;
  const [snapshot, options] = await linuxDriver(what);
  using fuzzer = await Fuzzer.of(snapshot, options);
  console.log(await fuzzer.run({ tries: Number(tries) }));
}
