/**
 * For tests: the folder of files that fctools' own tests want, with Vireo in the
 * place of Firecracker.
 *
 * @module
 */
import { compileProgram } from "../../images/linux/program.ts";
import { CommandLog } from "../../images/linux/logged_command.ts";
import { FIRECRACKER_VERSION, SNAPSHOT_VERSION_TEXT } from "../version.ts";
import type { JailedFiles } from "./jails.ts";
import { runIn } from "./run.ts";

const BIN = new URL("../../bin/", import.meta.url).pathname;
/** Who a jail is for. */
const JAILED = 1000;

/** How long its tests wait, in milliseconds. */
export interface Waits {
  /** For the socket. */
  boot_socket_timeout_ms: number;
  /** After the start, always. */
  boot_wait_ms: number;
  /** For the end after Ctrl, Alt and Delete; half of it for that of a kill. */
  shutdown_timeout_ms: number;
}

/** Writes how long they wait. */
export function writeOptions(files: JailedFiles, waits: Waits): void {
  const options = {
    toolchain: {
      version: FIRECRACKER_VERSION,
      snapshot_version: SNAPSHOT_VERSION_TEXT.trim(),
    },
    ...{ waits, network_interface: "lo" },
    ...{ jailer_uid: JAILED, jailer_gid: JAILED },
  };
  files.file("options.json", JSON.stringify(options));
}

/** Writes the kernel that guests get from now on. */
export function writeKernel(files: JailedFiles, kernel: Uint8Array): void {
  Deno.writeFileSync(files.path("assets/kernel"), kernel, { mode: 0o644 });
}

/** Writes all others; the kernel is Linux. */
export async function writeTestData(files: JailedFiles): Promise<void> {
  for (const name of ["firecracker", "jailer"]) {
    Deno.symlinkSync(BIN + name, files.path(`toolchain/${name}`));
  }
  // What is asked for its version is only that its files are told apart.
  says(files, "snapshot-editor", `snapshot-editor v${FIRECRACKER_VERSION}`);
  says(files, "firecracker-wrong-version", "Firecracker v0.1.0");
  await files.guest("assets/kernel", "assets/rootfs.ext4");
  await addKeyboard(files);
  configuration(files, "unrestricted", `${files.folder}/assets`);
  configuration(files, "jailed", "");
}

function says(files: JailedFiles, name: string, text: string): void {
  files.file(`toolchain/${name}`, `#!/bin/sh\necho '${text}'\n`, 0o755);
}

/** A file that starts a machine from what is in a folder. */
function configuration(files: JailedFiles, name: string, from: string): void {
  const file = {
    "boot-source": {
      kernel_image_path: `${from}/kernel`,
      boot_args: "console=ttyS0 reboot=k panic=1 pci=off",
    },
    "drives": [{
      drive_id: "rootfs",
      path_on_host: `${from}/rootfs.ext4`,
      ...{ is_root_device: true, is_read_only: true },
    }],
    "machine-config": { vcpu_count: 1, mem_size_mib: 128 },
  };
  files.file(`configs/${name}.json`, JSON.stringify(file));
}

/** The guest has a driver of the keyboard, which its shells start. */
async function addKeyboard(files: JailedFiles): Promise<void> {
  const program = files.path("keyboard");
  using log = new CommandLog(files.path("log"));
  await compileProgram(log, "testing/keyboard.c", program);
  files.file("profile", "keyboard &\n");
  files.file(
    "commands",
    "cd /etc\nwrite profile profile\n" +
      "cd /bin\nwrite keyboard keyboard\n" +
      "set_inode_field keyboard mode 0100755\n",
  );
  const image = "assets/rootfs.ext4";
  await runIn(files.folder, "debugfs", "-w", "-f", "commands", image);
}
