/**
 * Puts a kernel into guest memory, and sets up vCPUs as firmware would.
 *
 * @module
 */
export { kernelHasAcpi } from "../acpi/support.ts";
export { setUpVcpus } from "./firmware.ts";
export { deviceWords } from "./device_words.ts";
export { type BootState, loadKernel, setUpBoot } from "./load.ts";
export { writeMpTable } from "./mptable.ts";
