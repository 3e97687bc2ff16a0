/**
 * Boots the prepared Linux with the device of examples/rng.ts.
 *
 *     deno run -A examples/rng_boot.ts
 */
import { Machine, prepare, prepared } from "../mod.ts";

const { kernel, rootfs } = await prepared() ?? await prepare();
await using machine = await Machine.create({
  "boot-source": {
    kernel_image_path: kernel,
    boot_args: 'console=ttyS0 reboot=k quiet VIREO_EXEC="' +
      'cat /sys/class/misc/hw_random/rng_current; xxd -l 32 /dev/hwrng"',
  },
  "machine-config": { mem_size_mib: 64 },
  drives: [{
    drive_id: "root",
    path_on_host: rootfs,
    is_root_device: true,
    is_read_only: true,
  }],
  devices: [{ module: import.meta.resolve("./rng.ts") }],
}, { onOutput: (bytes) => Deno.stdout.writeSync(bytes) });
machine.start();
await machine.wait();
