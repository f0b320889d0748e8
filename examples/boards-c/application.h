/* What the firmware does in the tunnel: it posts its uptime, echoes, and moves when told to. */
#ifndef APPLICATION_H
#define APPLICATION_H

#include "lwip/ip_addr.h"

void application_start(void);

/* Takes another address outside the tunnel. */
void move_to(const ip_addr_t *address);

#endif
