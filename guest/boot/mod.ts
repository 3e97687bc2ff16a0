/**
 * Puts a kernel into guest memory, and sets up vCPUs as firmware would.
 *
 * @module
 */
export { kernelHasAcpi } from "../acpi/support.ts";
export { checkCapabilities } from "./cpu_template.ts";
export { vcpuCpuid } from "./cpuid.ts";
export { GENERATION_WORD } from "../generation.ts";
export { setLocalInterrupts } from "./lapic.ts";
export { type BootState, loadKernel, setUpBoot } from "./load.ts";
export { writeMpTable } from "./mptable.ts";
export { bootMsrs, Msr } from "./msrs.ts";
