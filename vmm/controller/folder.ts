/**
 * Where control sockets are: a folder for each user, which nobody else can
 * enter.
 *
 * @module
 */
import { Errno } from "../../ffi/errno.ts";
import { VireoError } from "../../ffi/error.ts";
import { closeFd, exists, ifThere } from "../../ffi/file.ts";
import { OwnName } from "../../ffi/own_name.ts";
import { connectUnix } from "../../ffi/unix_socket.ts";

const SOCKET = /^(([1-9]\d{0,9})(\.[1-9]\d{0,2})?)\.(sock|gdb)$/;

/**
 * The folder of a user's control sockets, there or not.
 *
 * @param uid the user
 * @param runtime `$XDG_RUNTIME_DIR`
 */
export function controlFolder(
  uid: number | null = Deno.uid(),
  runtime: string | undefined = Deno.env.get("XDG_RUNTIME_DIR"),
): string {
  if (uid === 0) return "/run/vireo";
  // Without one, where tmux and others have theirs: whose it is, is looked at.
  return runtime?.startsWith("/") ? `${runtime}/vireo` : `/tmp/vireo-${uid}`;
}

/**
 * A path for the control socket of a machine of this process: `PID.sock`. A
 * second machine's is `PID.2.sock`, and so on. A debugger's ends with `.gdb`.
 */
export function freeSocket(
  folder: string,
  kind: "sock" | "gdb" = "sock",
): string {
  for (let machine = 1;; machine++) {
    const suffix = machine === 1 ? "" : `.${machine}`;
    const path = `${folder}/${Deno.pid}${suffix}.${kind}`;
    if (!exists(path) || removeStale(path)) return path;
  }
}

/**
 * Makes the folder, if it isn't there.
 *
 * @throws {VireoError} it can't be made, or others can get in
 */
export function makeFolder(folder: string): void {
  try {
    Deno.mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  checkFolder(folder);
}

/** @throws {VireoError} others can get into the folder */
function checkFolder(folder: string): void {
  const { isDirectory, uid, mode } = Deno.lstatSync(folder);
  const open = ((mode ?? 0o777) & 0o077) !== 0;
  if (isDirectory && uid === Deno.uid() && !open) return;
  throw new VireoError(
    `"${folder}" is no folder that only you can enter (chmod 700)`,
  );
}

/**
 * The sockets of this user's machines, by their names without `.sock`. Those
 * that killed processes have left are removed.
 *
 * @throws {VireoError} the folder is not this user's own
 */
export function controlSockets(
  folder: string = controlFolder(),
): Map<string, string> {
  const sockets = new Map<string, string>();
  if (!exists(folder)) return sockets;
  checkFolder(folder);
  for (const { name } of Deno.readDirSync(folder)) {
    const [, id, pid, , kind] = SOCKET.exec(name) ?? [];
    if (id === undefined) continue;
    const path = `${folder}/${name}`;
    // While it lives, a process may be about to listen.
    const stays = exists(`/proc/${pid}`) || !removeStale(path);
    if (stays && kind === "sock") sockets.set(id, path);
  }
  return sockets;
}

/**
 * Removes a socket of this user's on which nobody listens, if nobody else has by
 * now; false: it is there.
 */
function removeStale(path: string): boolean {
  const name = ifThere(() => new OwnName(path));
  const file = ifThere(() => Deno.lstatSync(path));
  if (name === undefined || file === undefined) return true;
  const { uid, isSocket } = file;
  if (!isSocket || uid !== Deno.uid()) return false;
  const fd = connectUnix(path);
  if (fd > 0) closeFd(fd);
  if (fd !== -Errno.ECONNREFUSED) return false;
  name[Symbol.dispose]();
  return true;
}
