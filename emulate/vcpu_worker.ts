/**
 * The entry point of a vCPU's worker where KVM refuses instructions.
 *
 * @module
 */
import { vcpuThread } from "../vmm/vcpu_thread.ts";
import * as emulation from "./mod.ts";

vcpuThread(emulation);
