/**
 * Looks at a host, every part on its own: what can't be looked at says why.
 *
 * @module
 */
import { SystemError, VireoError } from "../ffi/errno.ts";
import { Kvm } from "../ffi/kvm/kvm.ts";
import { adviceFor, type Findings } from "./advice.ts";
import { probeKvm } from "./capabilities.ts";
import { probeGuest } from "./guest.ts";
import { type Failed, failed, type ProbeReport } from "./report.ts";
import { hostNames, probeResources } from "./resources.ts";

/**
 * Probes this host. Takes about a second, in which it blocks; every guest in
 * it has a time limit.
 *
 * @param path of KVM's device
 */
export function probeHost(path = "/dev/kvm"): ProbeReport {
  const findings: Findings = {
    runs: false,
    host: hostNames(),
    ...probeMachines(path),
    resources: probeResources(),
  };
  const { kvm, guest } = findings;
  findings.runs = !failed(kvm) && !failed(guest) &&
    kvm.capabilities.every(({ need, value }) => need !== "needed" || value > 0);
  return { ...findings, advice: adviceFor(findings) };
}

function probeMachines(path: string): Pick<ProbeReport, "kvm" | "guest"> {
  let kvm: Kvm;
  try {
    kvm = new Kvm(path);
  } catch (error) {
    return { kvm: failure(error), guest: { error: "there is no KVM" } };
  }
  using _ = kvm;
  return {
    kvm: attempt(() => probeKvm(kvm)),
    guest: attempt(() => probeGuest(kvm)),
  };
}

function attempt<T extends object>(look: () => T): T | Failed {
  try {
    return look();
  } catch (error) {
    return failure(error);
  }
}

function failure(error: unknown): Failed {
  if (!(error instanceof VireoError)) throw error;
  const busy = error instanceof SystemError && error.code === "EBUSY";
  return {
    error: busy
      ? `${error.message}; another hypervisor has the CPU: end it`
      : error.message,
  };
}
