/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * For tests: a vCPU's worker, one of whose system calls fails.
 *
 * @module
 */
import "./failing_call.ts";
import "../vcpu_worker.ts";
