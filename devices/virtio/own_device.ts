/**
 * A virtio device of the user's own, as its thread sees it: an exception, at
 * once or by a promise, puts this device alone into DEVICE_NEEDS_RESET.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { OwnCode } from "../own/code.ts";
import type { OwnContext } from "../own/context.ts";
import { whoPromised } from "../own/outstanding.ts";
import type { DeviceContext, VirtioDevice } from "./device.ts";

/** What a virtio device of the user's own gets at {@linkcode VirtioDevice.attach}. */
export interface OwnDeviceContext extends DeviceContext, OwnContext {}

/** `device` of a module, whose code is `own`. */
export function guarded(device: VirtioDevice, own: OwnCode): VirtioDevice {
  const { deviceId, features, queueSizes, config } = device;
  let turned = false; // code ran that nobody has looked after
  const call = (step: () => unknown) => {
    own.call(step);
    turned = true;
  };
  return {
    ...{ deviceId, features, queueSizes, config },
    attach(context) {
      own.attach(context, (reason) => {
        turned = true;
        context.needsReset(reason);
      });
      device.attach(contextOf(context, own));
    },
    activate: () => call(() => device.activate()),
    notify: (queue) => call(() => device.notify(queue)),
    reset: (queue) => device.reset(queue),
    poll() {
      const worked = turned;
      turned = false;
      return device.poll?.() || worked;
    },
    enable: () => device.enable?.() ?? false,
    ...(device.writeConfig && {
      writeConfig: (offset, size, value) =>
        call(() => device.writeConfig!(offset, size, value)),
    }),
    ...(device.command && {
      command: (what) => own.answer(device.command!(what)),
    }),
    ...(device.quiesce && {
      quiesce() {
        if (whoPromised().includes(own.name)) {
          throw new VireoError("can't be saved: it has not kept a promise");
        }
        device.quiesce!();
      },
    }),
    ...(device.save && { save: () => device.save!() }),
    ...(device.restore && { restore: (state) => device.restore!(state) }),
    close() {
      own.close();
      device.close();
    },
  };
}

/** All of both: what is the queues', and what is any module's. */
function contextOf(context: DeviceContext, own: OwnCode): OwnDeviceContext {
  return {
    name: own.name,
    memory: context.memory,
    get queues() {
      return context.queues;
    },
    get config() {
      return context.config;
    },
    hasFeature: (bit) => context.hasFeature(bit),
    publish: (queue) => context.publish(queue),
    configChanged: (change) => context.configChanged(change),
    needsReset: (reason) => context.needsReset(reason),
    log: (message) => own.log(message),
    record: context.record,
    emit(name, data) {
      context.record?.emit(name, typeof data === "number" ? data : undefined);
      own.emit(name, data);
    },
    setTimer: (milliseconds, callback) => own.setTimer(milliseconds, callback),
    watch: (fd, watcher, events) => own.watch(fd, watcher, events),
    modifyWatch: (fd, events) => own.modifyWatch(fd, events),
    unwatch: (fd) => own.unwatch(fd),
  };
}
