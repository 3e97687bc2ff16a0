/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * For tests, in a worker: lets the system call fail whose number is the
 * worker's name. Imported before the worker's own entry point.
 *
 * @module
 */
import { SystemCalls } from "../../ffi/testing/system_calls.ts";

new SystemCalls().failAt(Number(self.name));
