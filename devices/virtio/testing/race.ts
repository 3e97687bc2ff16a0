/**
 * For tests: what another vCPU does between two instructions of ours.
 *
 * @module
 */

/**
 * Until it is disposed of, every `Atomics.load` is followed by `change`, which
 * is not called within itself: whoever reads again finds something else.
 */
export function behindLoads(change: () => void): Disposable {
  const { load } = Atomics;
  Atomics.load = behind(load, change);
  return { [Symbol.dispose]: () => void (Atomics.load = load) };
}

/**
 * Until it is disposed of, every `Atomics.notify` is followed by `change`: who
 * waited for a lock has it.
 */
export function behindNotifies(change: () => void): Disposable {
  const { notify } = Atomics;
  Atomics.notify = behind(notify, change);
  return { [Symbol.dispose]: () => void (Atomics.notify = notify) };
}

function behind<T extends (...place: never[]) => unknown>(
  operation: T,
  change: () => void,
): T {
  let inside = false;
  return ((...place: Parameters<T>) => {
    const value = operation(...place);
    if (inside) return value;
    inside = true;
    try {
      change();
    } finally {
      inside = false;
    }
    return value;
  }) as T;
}
