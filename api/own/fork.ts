/**
 * A second machine in this process, which goes on as the first one does.
 *
 * @module
 */
import { checkShared, withoutMemoryFile } from "../../vmm/snapshot/shared.ts";
import type { ForkBody } from "../body/own_shapes.ts";
import type { Api } from "../endpoints/endpoint.ts";
import { goOn } from "../microvm/load.ts";

/**
 * Makes the machine, and listens for what is asked of it.
 *
 * @throws {VireoError} it can't be, or is to be given what it can't share;
 *   nothing stays behind
 */
export async function fork(api: Api, body: ForkBody): Promise<void> {
  const { api_sock, drive_overrides, network_overrides } = body;
  const { vm } = api;
  using snapshot = withoutMemoryFile(await vm.machine.snapshot({ base: true }));
  checkShared(snapshot.state, {
    drives: drive_overrides.map((one) => ({ ...one, is_root_device: false })),
    "network-interfaces": network_overrides,
    ...(body.vsock_override && {
      vsock: { guest_cid: 3, ...body.vsock_override },
    }),
  });
  const { id = `${vm.surroundings.id}-fork` } = body;
  using child = await api.another(id, api_sock);
  if (body.serial_out_path !== undefined) {
    const draft = child.vm.draft.copy();
    draft.serial = {
      serial_out_path: body.serial_out_path,
      rate_limiter: undefined,
    };
    child.vm.become(draft);
  }
  await goOn(child.vm, snapshot, {
    drive_overrides,
    network_overrides,
    vsock_override: body.vsock_override,
  });
  child.serve();
}
