/**
 * ACPI tables: whether a kernel looks for them, and those of a machine.
 *
 * @module
 */
export { kernelHasAcpi } from "./support.ts";
export { writeAcpiTables } from "./tables.ts";
