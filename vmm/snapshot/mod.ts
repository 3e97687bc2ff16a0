/**
 * Machines as data: taken of one, and given to others. Loaded when it is asked
 * for.
 *
 * @module
 */
export { type Facts, factsOf } from "./facts.ts";
export { compareMemory } from "./compare.ts";
export {
  describeFolder,
  type FolderDescription,
  verifyFolder,
} from "./folder.ts";
export { forkMachine } from "./fork.ts";
export { mergeFolders } from "./merge.ts";
export { makeForkable } from "./ram.ts";
export { type ForkOptions, MachinePool, type PoolOptions } from "./pool.ts";
export {
  type Changes,
  type Overrides,
  resetMachine,
  RestoreAs,
  restoreMachine,
} from "./restore.ts";
export type { PageSource } from "./on_demand.ts";
export { Snapshot } from "./snapshot.ts";
export { type SnapshotOptions, takeSnapshot } from "./take.ts";
export type { SaveOptions } from "./save_folder.ts";
export { type FolderUse, folderUse, removeFolder } from "./use.ts";
