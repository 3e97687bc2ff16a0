/**
 * Makes an object of a module of the user's: whatever is wrong names it.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { failureOf, loadModule } from "../runtime/load_module.ts";

/** A module's class, and what its constructor gets. */
export interface OwnModule {
  /** URL of the module that has it as its default export. */
  module: string;
  /** The constructor's parameter: plain data. */
  options: unknown;
}

/**
 * An object of the class.
 *
 * @param what names the module's purpose in errors
 * @param must methods that it has
 * @param may methods that it may have
 * @throws {VireoError} it can't be loaded or made, or is none
 */
export async function instanceOf<T>(
  what: string,
  { module, options }: OwnModule,
  must: readonly (keyof T & string)[],
  may: readonly (keyof T & string)[],
): Promise<T> {
  const Class = await loadModule(what, module) as unknown;
  const wrong = (text: string) => new VireoError(`${what} ${module}: ${text}`);
  if (typeof Class !== "function") {
    throw wrong("its default export is no class");
  }
  let made: T;
  try {
    made = Reflect.construct(Class, [options]);
  } catch (error) {
    throw wrong(failureOf(error, module));
  }
  const is = (name: keyof T) => typeof made[name] === "function";
  const missing = must.find((name) => !is(name)) ??
    may.find((name) => made[name] !== undefined && !is(name));
  if (missing === undefined) return made;
  throw wrong(`${missing} is no method`);
}
