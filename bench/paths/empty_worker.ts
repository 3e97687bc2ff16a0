/**
 * A worker that says that it is there.
 *
 * @module
 */
self.postMessage("ready");
