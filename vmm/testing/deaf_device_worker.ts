/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * For tests: the device worker on a host whose KVM refuses every doorbell.
 *
 * @module
 */
import { failingDoorbells } from "../../ffi/testing/doorbells.ts";
import "../device_worker.ts";

failingDoorbells();
