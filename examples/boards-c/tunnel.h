/* The tunnel as an interface of lwIP, and what the console is told of it. */
#ifndef TUNNEL_H
#define TUNNEL_H

/* Starts the tunnel that the flash describes, or says what is wrong with it and returns 0. */
int tunnel_start(void);
/* Says when there is a new session. */
void tunnel_watch(void);
/* Says how the tunnel is. */
void tunnel_report(void);

#endif
