/* What the payload can be told to do; each mode is a file. */
#pragma once

void mode_demo(void);
void mode_serve(void);
void mode_hostile(void);
void mode_bench(void);
void mode_journal(void);
void mode_orders(void);
void mode_smp(void);
void mode_storm(void);
void mode_memory(void);
