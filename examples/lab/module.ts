/**
 * A module for the research kernel: built, loaded, read and unloaded.
 *
 *     deno run -A examples/lab/module.ts
 */
import { Machine, moduleFolder, prepare, prepared } from "../../mod.ts";

const IMAGES = new URL("../../images/", import.meta.url);
const SOURCES = [
  ...["lab/Kbuild", "lab/gauge.c", "lab/tally.c", "lab/kcov.c"],
  "linux/syscall.h",
];
/** The gauge, which the module drives. */
export const GAUGE = { mmio: 40, address: 0xcff0_0000, hid: "VREO0001" };

/** Makes gauge.ko and kcov in `folder`; returns what to boot. */
export async function build(folder: string) {
  const variant = "research";
  const guest = await prepared(variant) ?? await prepare({ variant });
  for (const path of SOURCES) {
    const name = path.split("/")[1];
    await Deno.copyFile(new URL(path, IMAGES), `${folder}/${name}`);
  }
  const args = ["-C", moduleFolder(guest), `M=${folder}`, "modules"];
  const make = new Deno.Command("make", { args, stdout: "null" });
  const { success, stderr } = await make.output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return guest;
}

/** The research kernel with the gauge, before its start. */
export async function create(folder: string): Promise<Machine> {
  const { kernel, rootfs } = await build(folder);
  const root = { drive_id: "root", path_on_host: rootfs, is_read_only: true };
  const module = import.meta.resolve("./gauge.ts");
  const boot_args = "console=ttyS0 quiet panic=-1";
  return await Machine.create({
    "boot-source": { kernel_image_path: kernel, boot_args },
    drives: [{ ...root, is_root_device: true }],
    "bus-devices": [{ module, name: "gauge", ...GAUGE }],
    console: { agent: true },
  });
}

/** Its /tmp has what was built. */
export async function give(machine: Machine, folder: string): Promise<void> {
  for (const name of ["gauge.ko", "kcov"]) {
    const stdin = await Deno.readFile(`${folder}/${name}`);
    const command = `cat >/tmp/${name}; chmod +x /tmp/${name}`;
    await machine.exec(command, { stdin, timeout: 600_000 }); // with the boot
  }
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir();
  await using machine = await create(folder);
  machine.start();
  await give(machine, folder);
  const said = await machine.exec(`
    insmod /tmp/gauge.ko && dmesg | tail -n 1 && lsmod
    cat /sys/bus/platform/drivers/gauge/*/values
    rmmod gauge && echo unloaded && lsmod`);
  console.log(said.text() + said.errorText());
  await Deno.remove(folder, { recursive: true });
}
