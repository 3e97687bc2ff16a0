/**
 * Makes listeners of modules of the user's, on the device worker.
 *
 * @module
 */
import {
  type ListenerModule,
  ModuleListener,
} from "../../backends/vsock/listener_module.ts";
import { OwnCode } from "../../own/code.ts";
import { instanceOf, type OwnModule } from "../../own/load_class.ts";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import type { MakerContext } from "../maker.ts";

/** `device`, and who listens for its guest at `path`, `_` and a port. */
export async function withListeners(
  device: VirtioDevice,
  path: string,
  listeners: readonly ({ port: number } & OwnModule)[],
  maker: MakerContext,
): Promise<VirtioDevice> {
  using undo = new DisposableStack(); // unless all are there
  const codes: OwnCode[] = [];
  for (const { port, ...of } of listeners) {
    const module = await instanceOf<ListenerModule>(
      "listener",
      of,
      ["connection"],
      ["close"],
    );
    const own = new OwnCode(`vsock port ${port}`, of.module, maker);
    undo.adopt(
      new ModuleListener(`${path}_${port}`, module, own),
      (listener) => listener.close(),
    );
    codes.push(own);
  }
  const all = undo.move();
  const attach = device.attach.bind(device);
  const close = device.close.bind(device);
  device.attach = (context: DeviceContext) => {
    for (const own of codes) {
      own.attach(context, (reason) => own.complain(reason));
    }
    attach(context);
  };
  device.close = () => {
    all.dispose();
    for (const own of codes) own.close();
    close();
  };
  return device;
}
