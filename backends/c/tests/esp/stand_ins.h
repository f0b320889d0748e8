#ifndef STAND_INS_H
#define STAND_INS_H

#ifdef __cplusplus
extern "C" {
#endif

#include "world.h"

extern char last_error[256];
extern bool nvs_fails;

void settle(void);

/* In udp.c: datagrams to port 7 inside of the tunnel, and how many came back. */
extern unsigned answers;
void ask_inside(const char *to);

#ifdef __cplusplus
}
#endif

#endif
