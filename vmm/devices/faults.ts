/**
 * Faults of devices: their `faults` in the configuration, and
 * {@linkcode MachineDevices.setFaults}.
 *
 * @module
 */
import { EFFECTS, FAULTS } from "../../devices/faults/kinds.ts";
import type {
  FaultPlan,
  FaultRule,
  FaultType,
} from "../../devices/faults/rules.ts";
import { VireoError } from "../../ffi/error.ts";
import { conflict } from "../config/schema/conflict.ts";
import { report } from "../config/schema/report.ts";
import {
  type Finding,
  integer,
  type Keys,
  list,
  object,
  oneOf,
  own,
  ownRequired,
  type Rule,
} from "../config/schema/rule.ts";

const count = integer(1, Number.MAX_SAFE_INTEGER);
const sector = integer(0, 2 ** 44);

/** A number within limits, which may be a fraction. */
function number(low: number, high: number): Rule<number> {
  const expected = `${low} to ${high}`;
  return {
    takes: expected,
    read(value, path, findings) {
      if (typeof value === "number" && value >= low && value <= high) {
        return value;
      }
      const code = typeof value === "number" ? "range" : "type";
      findings.push({
        path,
        code,
        expected: code === "type" ? "a number" : expected,
        value,
      });
    },
    fill: (value) => value,
  };
}

const milliseconds = number(0, 3_600_000);

/** Faults of requests or frames of these types. */
function faultsOf(types: readonly FaultType[]): Rule<FaultPlan> {
  const effects = [...new Set(types.flatMap((type) => EFFECTS[type]))];
  const keys: Keys<FaultRule> = {
    on: ownRequired(oneOf(types), "What it is about."),
    effect: ownRequired(oneOf(effects), "What happens, see docs/lab.md."),
    first_sector: own(sector, "Only from this sector on."),
    last_sector: own(sector, "And only up to this one."),
    nth: own(count, "Only the nth of these, counted from 1."),
    every: own(count, "Only every so many of these."),
    probability: own(number(0, 1), "Only with this probability."),
    times: own(count, "So often at most."),
    errno: own(oneOf(["EIO", "ENOSPC", "EOPNOTSUPP"]), "Of `error`."),
    bytes: own(integer(0, 1 << 20), "Of `short` and `corrupt`."),
    delay_ms: own(milliseconds, "Of `delay`."),
    jitter_ms: own(milliseconds, "Added to it, uniformly from 0 to this."),
    mean_ms: own(milliseconds, "Added to it, exponentially, with this mean."),
  };
  const rule = object<FaultRule>(keys) as Rule<FaultRule>;
  const fitting: Rule<FaultRule> = {
    ...rule,
    read(value, path, findings) {
      const read = rule.read(value, path, findings);
      const { on, effect } = read ?? {};
      if (on && effect && !EFFECTS[on].includes(effect)) {
        const text = `is not for ${on}: ${EFFECTS[on].join(", ")}`;
        findings.push(conflict(`${path}.effect`, `${effect} ${text}`));
      }
      return read;
    },
  };
  return object<FaultPlan>({
    seed: own(integer(0, 0xffff_ffff), "Chooses what is random. Default 0."),
    rules: ownRequired(list(fitting), "The first that fits decides."),
  }) as Rule<FaultPlan>;
}

/** Of a drive. */
export const diskFaults = faultsOf(FAULTS.disk);
/** Of a network. */
export const netFaults = faultsOf(FAULTS.net);
/** Of random numbers. */
export const entropyFaults = faultsOf(FAULTS.entropy);
/** Of a console. */
export const consoleFaults = faultsOf(FAULTS.console);
/** Of sockets. */
export const vsockFaults = faultsOf(FAULTS.vsock);
/** Of any: the device itself says what it has not. */
const anyFaults = faultsOf(Object.keys(EFFECTS) as FaultType[]);

/**
 * Checks rules that come from a program.
 *
 * @throws {VireoError} what is wrong with which
 */
export function checkedFaults(value: unknown): FaultPlan {
  const findings: Finding[] = [];
  const plan = anyFaults.read(value, "faults", findings);
  if (findings.length > 0) throw new VireoError(report(findings));
  return plan!;
}
