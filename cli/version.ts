/**
 * `vireo --version`.
 *
 * @module
 */
import project from "../deno.json" with { type: "json" };

/** What a report of a bug should say: Vireo's version, Deno's, the kernel's. */
export function versionText(): string {
  return [
    `vireo ${project.version}`,
    `deno ${Deno.version.deno} (V8 ${Deno.version.v8})`,
    `linux ${Deno.osRelease()} (${Deno.build.arch})`,
  ].join("\n");
}
