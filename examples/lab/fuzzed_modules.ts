/**
 * The research kernel with drivers that are not bound to their devices: two
 * modules with mistakes on purpose, and Linux's own of a network.
 */
import { Machine, type Snapshot } from "../../mod.ts";
import { build, GAUGE } from "./module.ts";

/** Where `images/lab/kcov.c` has its buffer. */
export const KCOV = { address: 0x1000_0000, entries: 16_384 };
/** Where the drivers are, and the devices that are to be bound to them. */
export const DRIVERS: Record<string, [folder: string, device: string]> = {
  gauge: ["/sys/bus/platform/drivers/gauge", `${GAUGE.hid}:00`],
  tally: ["/sys/bus/virtio/drivers/tally", "virtio3"],
  net: ["/sys/bus/virtio/drivers/virtio_net", "virtio1"],
};
const handler = import.meta.resolve("../pong.ts");
const MODULES = {
  "network-interfaces": [{ iface_id: "net", handler }],
  devices: [{ module: import.meta.resolve("./tally.ts"), name: "tally" }],
  "bus-devices": [{
    ...{ module: import.meta.resolve("./gauge.ts"), name: "gauge" },
    ...GAUGE,
  }],
};
const FILES = ["gauge.ko", "tally.ko", "kcov"];

/** Has them in `folder`, to begin there next time; the first is a minute's boot. */
export async function fuzzedModules(folder: string): Promise<Snapshot> {
  const saved = `${folder}/saved`;
  try {
    await Deno.stat(saved);
  } catch {
    await boot(folder, saved);
  }
  await using machine = await Machine.restore(saved, MODULES);
  void machine.pause();
  machine.start();
  await machine.pause();
  return await machine.snapshot();
}

async function boot(folder: string, saved: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const { kernel, rootfs } = await build(folder);
  const root = { drive_id: "root", path_on_host: rootfs, is_read_only: true };
  const boot_args = "console=ttyS0 quiet panic=-1 clocksource=kvm-clock";
  await using machine = await Machine.create({
    "boot-source": { kernel_image_path: kernel, boot_args },
    drives: [{ ...root, is_root_device: true }],
    ...MODULES,
    console: { agent: true },
  });
  machine.start();
  for (const name of FILES) {
    const stdin = await Deno.readFile(`${folder}/${name}`);
    const write = `cat >/tmp/${name}; chmod +x /tmp/${name}`;
    await machine.exec(write, { stdin, timeout: 600_000 }); // with the boot
  }
  // The disk is none for a fuzzer: what binding needs is in memory then.
  const binds = Object.values(DRIVERS).map(([folder, device]) => `
    cd ${folder} && echo ${device} >unbind &&
    /tmp/kcov bind ${device} && echo ${device} >unbind || exit`);
  const said = await machine.exec(`
    mount -t debugfs none /sys/kernel/debug && insmod /tmp/tally.ko &&
    insmod /tmp/gauge.ko careful=1 || exit
    ${binds.join("\n")}`);
  if (!said.success) throw new Error(said.text() + said.errorText());
  (await machine.snapshot()).save(saved);
}
