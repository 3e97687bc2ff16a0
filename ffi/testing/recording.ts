/**
 * For tests, a worker: records events until it is told to stop. The values of
 * each are its number.
 *
 * @module
 */
/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
import { Recorder } from "../recorder.ts";

onmessage = ({ data }: MessageEvent<SharedArrayBuffer>) => {
  const recorder = new Recorder(data);
  for (let n = 0; recorder.wanted !== 0; n++) {
    recorder.record(n, n, n, n, n, n, n, n);
  }
  postMessage(recorder.head);
  close();
};
