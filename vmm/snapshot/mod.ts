/**
 * Machines as data: taken of one, and given to others. Loaded when it is asked
 * for.
 *
 * @module
 */
export { type Facts, factsOf } from "./facts.ts";
export { compareMemory } from "./on_disk/compare.ts";
export {
  describeFolder,
  type FolderDescription,
  verifyFolder,
} from "./on_disk/folder.ts";
export { forkMachine } from "./fork.ts";
export { mergeFolders } from "./on_disk/merge.ts";
export { makeForkable } from "./ram.ts";
export { type ForkOptions, MachinePool, type PoolOptions } from "./pool.ts";
export {
  type Changes,
  type Overrides,
  resetMachine,
  RestoreAs,
  restoreMachine,
} from "./restore.ts";
export type { PageSource } from "./on_demand/on_demand.ts";
export { Snapshot } from "./snapshot.ts";
export { type SnapshotOptions, takeSnapshot } from "./take.ts";
export type { SaveOptions } from "./on_disk/save_folder.ts";
export { type FolderUse, folderUse, removeFolder } from "./on_disk/use.ts";
