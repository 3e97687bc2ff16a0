/* Attacks that are more than one bad request. */
#pragma once

#include "devices.h"

/* Accesses of every width at every offset of the window. True when the machine lived. */
bool hostile_registers(struct virtio_device *device);

/* §2.4: reset with many reads in flight. True when nothing was written afterwards. */
bool hostile_reset_in_flight(struct blk *blk);
