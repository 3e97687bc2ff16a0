/**
 * What Vireo needs in a jail beside the one file that is copied there: Deno,
 * the libraries that it is linked with, and Vireo's sources, at the paths that
 * they have outside.
 *
 * @module
 */
import { denoFolder } from "../ffi/deno_folder.ts";
import { exists } from "../ffi/file.ts";
import { JailError, tried } from "./error.ts";

const ROOT = new URL("../", import.meta.url).pathname.replace(/\/$/, "");

/** The file that clients know as Firecracker's binary. */
const LAUNCHER = `${ROOT}/bin/firecracker`;
const MAIN = "api/main.ts";
const CONFIG = "deno.json";

/** All that a process of the API may load. */
export const SOURCES = [
  ...["api", "cli", "devices", "emulate", "ffi", "guest", "images", "monitor"],
  ...["probe", "vmm", CONFIG],
] as const;

/** Something that is bound into the jail, for reading. */
export interface Bound {
  from: string;
  /** Where, in the jail. */
  to: string;
}

/** How a program is run in the jail. */
export interface Program {
  bound: Bound[];
  /** Its words before those of the jailer. */
  words: string[];
  env: Record<string, string>;
}

/** A script's beginning; more is not read to know whether it's the launcher. */
const LAUNCHER_MAX = 4096;

/** True for Vireo's launcher, and for a copy of it. */
export function isLauncher(execFile: string): boolean {
  if (execFile === LAUNCHER) return true;
  if (Deno.statSync(execFile).size > LAUNCHER_MAX) return false;
  return Deno.readTextFileSync(execFile) === Deno.readTextFileSync(LAUNCHER);
}

/**
 * How the launcher's program is run, without the shell that it is for.
 *
 * @param place the launcher's copy in the jail: there is Deno
 * @param ids who it runs as
 * @throws {JailError} that user may not read it
 */
export function vireo(
  place: string,
  ids: { uid: number; gid: number },
): Program {
  const deno = Deno.execPath();
  const compiled = `${denoFolder()}/gen/file${ROOT}`;
  const same = (path: string): Bound => ({ from: path, to: path });
  const main = `${ROOT}/${MAIN}`;
  mayRead(deno, ids, 5);
  mayRead(main, ids, 4);
  return {
    bound: [
      { from: deno, to: place },
      ...libraries(deno).map(same),
      ...SOURCES.map((name) => same(`${ROOT}/${name}`)),
      // Without it each start compiles all that it loads.
      ...exists(compiled) ? [same(compiled)] : [],
    ],
    words: [
      ...["run", "--quiet", "-A", "--cached-only", "--no-lock"],
      ...["--config", `${ROOT}/${CONFIG}`, main],
    ],
    env: {
      DENO_DIR: denoFolder(),
      DENO_NO_PACKAGE_JSON: "1",
      DENO_NO_UPDATE_CHECK: "1",
      HOME: "/",
      NO_COLOR: "1",
      TMPDIR: "/run",
    },
  };
}

/** The files that the dynamic loader takes for a program, and itself. */
function libraries(program: string): string[] {
  const { stdout } = tried(
    `Failed to run ${program}`,
    () =>
      new Deno.Command(program, {
        clearEnv: true,
        env: { LD_TRACE_LOADED_OBJECTS: "1" }, // ld.so(8)
        stdin: "null",
      }).outputSync(),
  );
  const lines = new TextDecoder().decode(stdout);
  const paths = [...lines.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
  if (paths.length > 0) return paths;
  throw new JailError(`${program} doesn't say what it is linked with`);
}

/** Whether the rights of a file are those that a user needs. */
function mayRead(
  path: string,
  { uid, gid }: { uid: number; gid: number },
  bits: number,
): void {
  const stat = Deno.statSync(path);
  const shift = uid === stat.uid ? 6 : gid === stat.gid ? 3 : 0;
  if (uid === 0 || ((stat.mode ?? 0) >> shift & bits) === bits) return;
  throw new JailError(
    `${path} may not be read by user ${uid} of group ${gid}, who is to run it`,
  );
}
