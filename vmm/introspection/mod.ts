/**
 * Introspection of paused machines. Loaded when one is looked at.
 *
 * @module
 */
export { MachineView } from "./machine_view.ts";
