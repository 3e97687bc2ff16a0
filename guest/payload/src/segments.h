/*
 * Selectors of the payload's GDT, shared by assembly and C. They are Linux's:
 * a software KVM runs CPL3 natively, on the host's own user segments.
 */
#pragma once

#define KERNEL_CODE 0x10
#define KERNEL_DATA 0x18
#define USER_DATA (0x28 | 3)
#define USER_CODE (0x30 | 3)
#define TASK_STATE 0x40
