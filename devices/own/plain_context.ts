/**
 * What a plain device may ask of the thread that it is on.
 *
 * @module
 */
import type { OwnCode } from "./code.ts";
import type { PlainContext, PlainInterrupt, PlainPlace } from "./plain.ts";

/** What is any module's, and what is a plain device's. */
export function plainContext(
  own: OwnCode,
  { shared }: PlainPlace,
  interrupt: PlainInterrupt,
): PlainContext {
  return {
    name: own.name,
    get memory() {
      return own.memory;
    },
    shared,
    raise: () => interrupt.raise(),
    lower: () => interrupt.lower(),
    log: (message) => own.log(message),
    emit: (name, data) => own.emit(name, data),
    setTimer: (milliseconds, callback) => own.setTimer(milliseconds, callback),
    watch: (fd, watcher, events) => own.watch(fd, watcher, events),
    modifyWatch: (fd, events) => own.modifyWatch(fd, events),
    unwatch: (fd) => own.unwatch(fd),
  };
}
