/**
 * The ioctl type of KVM.
 *
 * @module
 */

/** `KVMIO` of include/uapi/linux/kvm.h. */
export const KVMIO = 0xae;
