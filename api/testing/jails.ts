/**
 * For tests: files that clients put into jails, and what stays of the jails.
 *
 * @module
 */
import { prepared } from "../../images/linux/prepare.ts";

/** Where jails are, unless a client says otherwise. */
const JAILS = "/srv/jailer";

/** A folder on the file system of jails: clients make hard links into these. */
export class JailedFiles implements Disposable {
  /** Its path. */
  readonly folder: string;
  readonly #before: string[];

  /** Makes it. */
  constructor() {
    Deno.mkdirSync(JAILS, { recursive: true });
    this.#before = jails();
    this.folder = Deno.makeTempDirSync({ dir: "/srv", prefix: "vireo-test-" });
  }

  /** The path of a file of it, whose folder is there. */
  path(name: string): string {
    const path = `${this.folder}/${name}`;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    return path;
  }

  /** Writes a file. */
  file(name: string, text: string, mode = 0o644): void {
    Deno.writeTextFileSync(this.path(name), text, { mode });
  }

  /** A guest, to whose disk whoever is in a jail may write. */
  async guest(kernel: string, rootfs: string): Promise<void> {
    const guest = (await prepared("small"))!;
    Deno.copyFileSync(guest.kernel, this.path(kernel));
    Deno.chmodSync(this.path(kernel), 0o644);
    Deno.copyFileSync(guest.rootfs, this.path(rootfs));
    Deno.chmodSync(this.path(rootfs), 0o666);
  }

  /** Files of jails that were made and not removed, but for empty folders. */
  get left(): string[] {
    return jails().filter((path) => !this.#before.includes(path))
      .flatMap((path) => [...Deno.readDirSync(path)].map(({ name }) => name));
  }

  /** Removes all of it, and those jails. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
    for (const path of jails()) {
      if (this.#before.includes(path)) continue;
      Deno.removeSync(path, { recursive: true });
    }
  }
}

/** All of them, by program and id. */
function jails(): string[] {
  const inside = (path: string) =>
    [...Deno.readDirSync(path)].map(({ name }) => `${path}/${name}`);
  return inside(JAILS).flatMap(inside);
}
