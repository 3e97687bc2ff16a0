/**
 * The small devices of a PC: real-time clock, keyboard controller, reset and
 * power-off, the boot timer, and the ports that have init's orders.
 *
 * @module
 */
export { BOOT_TIMER_SIZE, BootTimer } from "./boot_timer.ts";
export { addI8042, I8042, type SharedI8042 } from "./i8042.ts";
export { ORDERS_PORTS, OrdersPorts } from "./orders.ts";
export {
  RESET_PORTS,
  ResetControl,
  SLEEP_PORTS,
  SleepRegisters,
} from "./power.ts";
export { Rtc, RTC_PORTS } from "./rtc.ts";
