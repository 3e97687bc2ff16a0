/**
 * Disks.
 *
 * @module
 */
import { drive, type DriveBody, driveUpdate } from "../body/shapes.ts";
import { Fault } from "../fault.ts";
import { driveConfig, merged } from "../microvm/draft.ts";
import { driveText, fault, objection } from "../microvm/texts.ts";
import { SystemError, VireoError } from "../../ffi/errno.ts";
import { BLK } from "../../vmm/devices/blk.ts";
import type { Kind } from "../../vmm/devices/kind.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { noHotPlug } from "./hot_plug.ts";

const PREFIX = "Drive config error";

/** `/drives/ID` */
export const DRIVE_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "PUT",
    segment: "drives",
    rest: "id",
    when: "always",
    about: "Adds a disk, or puts it in the place of the one of its name.",
    body: drive,
    idKey: "drive_id",
    prefix: PREFIX,
    counter: "drive",
    async run({ vm }, body) {
      noHotPlug(vm, PREFIX);
      checkBacking(body);
      const draft = vm.tried((draft) => {
        draft.drives = replaced(draft.drives, body);
      });
      await opened(
        body,
        () =>
          vm.held.open(
            body.drive_id,
            BLK as Kind,
            draft.device("drives", driveConfig(body)),
          ),
      );
      vm.become(draft);
    },
  }),
  endpoint({
    method: "PATCH",
    segment: "drives",
    rest: "id",
    when: "after",
    about: "Gives a running disk another image, or other limits.",
    body: driveUpdate,
    idKey: "drive_id",
    prefix: PREFIX,
    counter: "drive",
    async run({ vm }, { drive_id, path_on_host, rate_limiter }) {
      const old = vm.draft.drives.find((drive) => drive.drive_id === drive_id);
      if (old === undefined) {
        throw new Fault(
          `${PREFIX}: Unable to find the block device: ${drive_id}`,
        );
      }
      if (path_on_host === undefined && rate_limiter === undefined) {
        throw new Fault(`${PREFIX}: vhost-user is not supported by Vireo`);
      }
      const body = { ...old };
      if (rate_limiter !== undefined) {
        await vm.limit(drive_id, { rate_limiter });
        body.rate_limiter = merged(old.rate_limiter, rate_limiter);
      }
      if (path_on_host !== undefined) {
        body.path_on_host = path_on_host;
        await opened(body, () => vm.swapImage(drive_id, driveConfig(body)));
      }
      const draft = vm.draft.copy();
      draft.drives = replaced(draft.drives, body);
      vm.become(draft);
    },
  }),
  endpoint({
    method: "DELETE",
    segment: "drives",
    rest: "id",
    when: "after",
    about: "Would take a disk away; there is no hot plug.",
    prefix: PREFIX,
    run: ({ vm }) => noHotPlug(vm, PREFIX),
  }),
];

/** @throws {Fault} there is nothing that the disk could be */
function checkBacking({ socket, path_on_host }: DriveBody): void {
  if (socket !== undefined) {
    throw new Fault(`${PREFIX}: vhost-user is not supported by Vireo: socket`);
  }
  if (path_on_host) return;
  throw new Fault(`${PREFIX}: path_on_host is missing: a disk is a file`);
}

/** In the place of one of its name, or last. */
function replaced(drives: DriveBody[], drive: DriveBody): DriveBody[] {
  const { drive_id } = drive;
  if (!drives.some((other) => other.drive_id === drive_id)) {
    return [...drives, drive];
  }
  return drives.map((other) => other.drive_id === drive_id ? drive : other);
}

async function opened(
  { path_on_host = "" }: DriveBody,
  open: () => Promise<unknown>,
): Promise<void> {
  try {
    Deno.statSync(path_on_host);
    await open();
  } catch (error) {
    // What Vireo says itself is in words of its own.
    const own = error instanceof VireoError && !(error instanceof SystemError);
    if (own || error instanceof Fault) throw fault(PREFIX, error);
    throw new Fault(driveText(objection(error), path_on_host));
  }
}
