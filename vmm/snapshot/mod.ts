/**
 * Machines as data: taken of one, and given to others. Loaded when it is asked
 * for.
 *
 * @module
 */
export { describeFolder, verifyFolder } from "./folder.ts";
export { forkMachine } from "./fork.ts";
export {
  type Changes,
  type Overrides,
  resetMachine,
  RestoreAs,
  restoreMachine,
} from "./restore.ts";
export { Snapshot } from "./snapshot.ts";
export { type SnapshotOptions, takeSnapshot } from "./take.ts";
