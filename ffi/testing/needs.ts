/**
 * For tests: what a test needs of its host. One whose needs are not met is
 * ignored, and its name ends with the exact reason. `task test` reads the needs
 * of the tests that are chosen, and sets up what it can before it runs them.
 *
 * @module
 */
import { Kvm } from "../kvm/kvm.ts";
import { packageOf } from "../packages.ts";

/** One thing that a test can't do without. */
export interface Need {
  /** Programs that are called, by name: each is in a package that is known. */
  readonly programs?: readonly string[];
  /** What `vireo prepare` has to have made. */
  readonly prepared?: "small" | "full" | "all" | "research";
  /** No other file's tests may have run in the same process. */
  readonly alone?: boolean;
  /** Why this host doesn't have it, as it is now; empty when it has. */
  missing(): string;
}

/** A test with its needs beside what Deno wants to know of it. */
export interface NeedingTest extends Deno.TestDefinition {
  /** All of them. */
  readonly needs: readonly Need[];
}

/** The end of the name of a test that is ignored: a reason in brackets. */
const REASON = / \[ignored: (.*)\]$/s;

/**
 * The test, ignored where one of its needs is not met.
 *
 * @param needs what it needs; a string is the name of a program, or the path of
 *   a file that comes in a package
 * @param test the test
 *
 * @example
 * ```ts ignore
 * Deno.test(needing([KVM, "ping"], { name: "answers", fn() {} }));
 * ```
 */
export function needing(
  needs: readonly (Need | string)[],
  test: Deno.TestDefinition,
): NeedingTest {
  const all = needs.map((need) =>
    typeof need === "string" ? program(need) : need
  );
  const reason = missingOf(all);
  if (reason === "") return { ...test, needs: all };
  const name = `${test.name} [ignored: ${reason}]`;
  return { ...test, name, ignore: true, needs: all };
}

/**
 * Why a test is ignored; undefined when its name gives no reason.
 *
 * @param name of a test that was ignored
 */
export function ignoredBecause(name: string): string | undefined {
  return REASON.exec(name)?.[1];
}

/**
 * Why the host doesn't have what is needed; empty when it has all of it.
 *
 * @param needs of one test
 */
export function missingOf(needs: readonly Need[]): string {
  const reasons = needs.map((need) => need.missing()).filter(Boolean);
  return [...new Set(reasons)].join("; ");
}

/** The rights of root, for what a name tells: `drops its rights: needs root`. */
export function root(why: string): Need {
  return { missing: () => Deno.uid() === 0 ? "" : `${why}: needs root` };
}

/** The same, for a test that does without it where it is missing. */
export function optional(need: Need): Need {
  return { ...need, missing: () => "" };
}

/** KVM, for reading and writing. */
export const KVM: Need = { missing: once(kvmMissing) };

/** A process of its own: for what is asked of the host once. */
export const ALONE: Need = { alone: true, missing: () => "" };

/** Network namespaces with TAPs in them. */
export const NETWORKS: Need = {
  programs: ["ip"],
  missing: once(() =>
    missingOf([root("makes a network namespace"), program("ip"), TUN])
  ),
};

/** The device that TAPs are made with. */
export const TUN: Need = {
  missing() {
    try {
      Deno.openSync("/dev/net/tun", { read: true, write: true }).close();
      return "";
    } catch (error) {
      return `/dev/net/tun: ${(error as Error).message}`;
    }
  },
};

/** A program of a package in `ffi/packages.ts`. */
function program(name: string): Need {
  const debian = packageOf(name);
  return {
    programs: [name],
    missing: () =>
      isOnPath(name)
        ? ""
        : `${name} of ${debian} is missing: apt-get install ${debian}`,
  };
}

/** True when a program of this name can be called. */
export function isOnPath(name: string): boolean {
  const folders = name.startsWith("/")
    ? [""]
    : (Deno.env.get("PATH") ?? "").split(":");
  return folders.some((folder) => {
    try {
      return Deno.statSync(`${folder}/${name}`).isFile;
    } catch {
      return false;
    }
  });
}

function kvmMissing(): string {
  try {
    new Kvm().close();
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

function once(missing: () => string): () => string {
  let reason: string | undefined;
  return () => reason ??= missing();
}
