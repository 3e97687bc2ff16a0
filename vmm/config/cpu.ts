/**
 * `cpu-config`: a custom CPU template of Firecracker's.
 *
 * @module
 */
import {
  type CpuConfig,
  CPUID_REGISTERS,
  type CpuidModifier,
  isBitmap,
  isNumber,
  type MsrModifier,
} from "../../guest/boot/cpu_template.ts";
import {
  formatted,
  integer,
  type Keys,
  list,
  object,
  oneOf,
  optional,
  required,
  type Rule,
} from "./schema/rule.ts";

const number = formatted("0x1f or 31", "a number such as 0x1f", isNumber);

function bitmap(bits: number): Rule<string> {
  const form = `0b and at most ${bits} of 0, 1 and x`;
  return formatted(form, form, (text) => isBitmap(text, bits));
}

const REGISTER: Keys<CpuidModifier["modifiers"][number]> = {
  register: required(oneOf(CPUID_REGISTERS), "Which."),
  bitmap: required(bitmap(32), "0, 1, or x for what stays; `_` separates."),
};

const LEAF: Keys<CpuidModifier> = {
  leaf: required(number, "EAX of the question, which KVM has an answer to."),
  subleaf: required(number, "ECX of the question."),
  flags: required(integer(0, 7), "`KVM_CPUID_FLAG_*`; KVM's own count."),
  modifiers: required(
    list(object<CpuidModifier["modifiers"][number]>(REGISTER)),
    "Its registers.",
  ),
};

const MSR: Keys<MsrModifier> = {
  addr: required(number, "Its number."),
  bitmap: required(bitmap(64), "0, 1, or x for what stays."),
};

/** The rule. */
export const CPU_CONFIG: Rule<CpuConfig> = object<CpuConfig>({
  kvm_capabilities: optional(
    list(formatted("121 or !56", "a number, perhaps with !", isCapability)),
    "Numbers of `KVM_CAP_*` that there must be.",
  ),
  cpuid_modifiers: optional(list(object<CpuidModifier>(LEAF)), "CPUID."),
  msr_modifiers: optional(
    list(object<MsrModifier>(MSR)),
    "MSRs, as they are at the start.",
  ),
}) as Rule<CpuConfig>;

function isCapability(text: string): boolean {
  return /^!?\d{1,6}$/.test(text);
}
