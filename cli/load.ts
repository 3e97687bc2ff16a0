/**
 * What only some commands need.
 *
 * @module
 */

/**
 * Loads a module that is needed now. A literal in `import()` is read and parsed
 * with whatever has it, needed or not.
 *
 * @returns its exports, as the caller types them: `typeof import("...")`
 * @throws {Deno.errors.NotCapable} it may not be read
 */
// deno-lint-ignore no-explicit-any
export async function load(module: URL): Promise<any> {
  const { state } = Deno.permissions.querySync({
    name: "read",
    path: module,
  });
  if (state === "granted") return await import(module.href);
  throw new Deno.errors.NotCapable(`Requires read access to "${module}"`);
}
