/**
 * The entry point of a vCPU's worker.
 *
 * @module
 */
import { vcpuThread } from "./vcpu_thread.ts";

vcpuThread();
