/* What the tests ask of the lwIP on this machine, beside what the component offers. */
#ifndef WG_HOST_H
#define WG_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Starts lwIP with an interface st1 that stands for Wi-Fi: 192.168.4.2/24, the default one. */
void host_start(void);
/* Packets that went out by st1, which leads nowhere. */
uint32_t host_wifi_packets(void);
/* The name of the default interface, 6 bytes. */
void host_default(char *name);
/* The name server of this number as text, 48 bytes. */
void host_dns(uint8_t number, char *text);
/* How many interfaces there are. */
unsigned host_interfaces(void);

/* A socket that is connected to this place; negative errno. Calls on it wait for `timeout_ms`. */
int host_connect(bool is_tcp, const char *address, uint16_t port, int timeout_ms);
/* A TCP socket that listens on all addresses of the family; the next connection to one. */
int host_listen(bool is_ipv6, uint16_t port, int timeout_ms);
int host_accept(int listener, int timeout_ms);
long host_send(int socket, const void *bytes, size_t length);
long host_receive(int socket, void *bytes, size_t length);
int host_close(int socket);
/* An errno. */
int host_bind_device(int socket, const char *name);

/* Sends one UDP datagram from `pieces` pbufs of `piece` bytes each; a lwIP error. */
int host_send_chain(const char *address, uint16_t port, unsigned pieces, uint16_t piece);

/* Leaves lwIP no memory for packets, and gives it back. */
void host_exhaust(void);
void host_relieve(void);

#endif
