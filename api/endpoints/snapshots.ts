/**
 * Snapshots.
 *
 * @module
 */
import { snapshotCreate, snapshotLoad } from "../body/shapes.ts";
import { FatalFault, Fault } from "../fault.ts";
import { fault } from "../microvm/texts.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";

// No literals in `import()`: those are read at the start, needed or not.
const FILES = new URL("../microvm/snapshot_files.ts", import.meta.url).href;
const LOAD = new URL("../microvm/load.ts", import.meta.url).href;

const CREATE_ERROR = "Create snapshot error";
const LOAD_ERROR = "Load snapshot error";

/** `/snapshot/create`, `/snapshot/load` */
export const SNAPSHOT_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "PUT",
    segment: "snapshot",
    rest: ["create"],
    when: "after",
    about: "Saves the paused machine in two files.",
    body: snapshotCreate,
    prefix: CREATE_ERROR,
    async run({ vm, metrics }, body) {
      const { snapshot_path, mem_file_path, snapshot_type } = body;
      const start = performance.now();
      if (vm.phase !== "paused") {
        throw new Fault(
          `${CREATE_ERROR}: Cannot save the microVM state: Operation not ` +
            "allowed: save/restore unavailable while running",
        );
      }
      const { saveFiles }: typeof import("../microvm/snapshot_files.ts") =
        await import(FILES);
      const tracks = vm.draft.machine.track_dirty_pages;
      try {
        using undo = new DisposableStack(); // unless the next is a diff of it
        const snapshot = undo.use(await vm.machine.snapshot({ base: tracks }));
        // Of what there is nothing to be since, it is all.
        const since = snapshot_type === "Diff" && tracks ? vm.since : undefined;
        saveFiles(snapshot_path, mem_file_path, snapshot, since);
        if (tracks) {
          vm.since = snapshot;
          undo.move();
        }
      } catch (error) {
        throw fault(CREATE_ERROR, error);
      }
      const took = (performance.now() - start) * 1000;
      metrics.took(`${snapshot_type.toLowerCase()}_create_snapshot`, took);
    },
  }),
  endpoint({
    method: "PUT",
    segment: "snapshot",
    rest: ["load"],
    when: "before",
    about: "Goes on from such files.",
    body: snapshotLoad,
    prefix: LOAD_ERROR,
    deprecated: ({ mem_file_path, enable_diff_snapshots }) =>
      mem_file_path !== undefined || enable_diff_snapshots,
    async run({ vm, metrics }, body) {
      const start = performance.now();
      if (vm.draft.touched) {
        throw new Fault(
          `${LOAD_ERROR}: Loading a microVM snapshot not allowed after ` +
            "configuring boot-specific resources.",
        );
      }
      const { load }: typeof import("../microvm/load.ts") = await import(LOAD);
      try {
        await load(vm, body);
      } catch (error) {
        // Half of a machine may be there: the process is of no use any more.
        throw new FatalFault(fault(LOAD_ERROR, error).message);
      }
      metrics.took("load_snapshot", (performance.now() - start) * 1000);
    },
  }),
];
