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
#define AP_TASK_STATE 0x50

#define TASK_STATE_SIZE 104
#define IO_BITMAP_SIZE (0x1000 / 8 + 1) /* ports below 0x1000, and the closing byte */
