/**
 * For tests: block devices and file systems that end with the test.
 *
 * @module
 */
import { type Need, root } from "./needs.ts";

/** Block devices over files. */
export const LOOP_DEVICES: Need = {
  programs: ["losetup"],
  missing() {
    const noRoot = root("makes a block device").missing();
    if (noRoot !== "") return noRoot;
    try {
      Deno.openSync("/dev/loop-control", { read: true }).close();
      return "";
    } catch (error) {
      return `/dev/loop-control: ${(error as Error).message}`;
    }
  },
};

/** A loop device over a file. */
export class LoopDevice implements Disposable {
  /** Its path. */
  readonly path: string;

  /** Over `file`, with `losetup`'s `options`. */
  constructor(file: string, ...options: string[]) {
    this.path = run("losetup", ...options, "--find", "--show", file).trim();
  }

  /** Detaches it, as soon as nobody has it open. */
  [Symbol.dispose](): void {
    run("losetup", "--detach", this.path);
  }
}

/** A file system in a folder of its own. */
export class MountedFolder implements Disposable {
  /** The folder. */
  readonly path: string = Deno.makeTempDirSync({ prefix: "vireo-mount-" });

  /** With `mount`'s arguments but for the folder. */
  constructor(...options: string[]) {
    try {
      run("mount", ...options, this.path);
    } catch (error) {
      Deno.removeSync(this.path);
      throw error;
    }
  }

  /** Unmounts it; the kernel lets go of an io_uring's files a little later. */
  [Symbol.dispose](): void {
    run("umount", "--lazy", this.path);
    Deno.removeSync(this.path);
  }
}

/** Runs a program; what it printed. */
export function run(program: string, ...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command(program, { args })
    .outputSync();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (success) return text(stdout);
  throw new Error(`${program} ${args.join(" ")}: ${text(stderr)}`);
}
