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
  let inside = false;
  Atomics.load = ((...place: Parameters<typeof load>) => {
    const value = load(...place);
    if (inside) return value;
    inside = true;
    try {
      change();
    } finally {
      inside = false;
    }
    return value;
  }) as typeof load;
  return { [Symbol.dispose]: () => void (Atomics.load = load) };
}
