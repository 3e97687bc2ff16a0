/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * For tests: the device worker, one of whose system calls fails.
 *
 * @module
 */
import "./failing_call.ts";
import "../device_worker.ts";
