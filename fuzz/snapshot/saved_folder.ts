/**
 * A snapshot of a machine that has one of every kind of device.
 *
 * @module
 */
import { readPayload } from "../../images/payload/payload.ts";
import { Machine } from "../../vmm/machine.ts";

/** Saves one in a folder of its own, which goes with this. */
export async function savedFolder(): Promise<Disposable & { path: string }> {
  const root = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  const path = `${root}/saved`;
  const disk = `${root}/disk`;
  Deno.writeFileSync(disk, new Uint8Array(1 << 20));
  const handler = `file://${root}/handler.ts`;
  Deno.writeTextFileSync(`${root}/handler.ts`, "export default () => {};");
  await using machine = await Machine.create({
    "boot-source": { kernel_image_path: await readPayload() },
    "machine-config": { mem_size_mib: 16, vcpu_count: 2 },
    drives: [{ drive_id: "d", path_on_host: disk, is_root_device: false }],
    "network-interfaces": [{ iface_id: "n", handler }],
    vsock: { guest_cid: 3, uds_path: `${root}/vsock` },
    entropy: {},
    balloon: { amount_mib: 0, deflate_on_oom: false },
    console: { main: true },
  });
  await machine.pause(); // it begins so
  machine.start();
  using snapshot = await machine.snapshot();
  snapshot.save(path);
  const remove = () => Deno.removeSync(root, { recursive: true });
  return { path, [Symbol.dispose]: remove };
}
