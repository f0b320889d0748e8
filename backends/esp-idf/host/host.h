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
/* The name of the interface beneath a tunnel, 6 bytes. */
void host_underlay(char *name);
/* Removes Wi-Fi, as ESP-IDF does when the station stops, and adds it; or puts Ethernet, en7, in its
 * place, and the other way round. */
void host_turn_off_wifi(void);
void host_turn_on_wifi(void);
void host_plug_in(void);
void host_unplug(void);
/* The name server of this number as text, 48 bytes. */
void host_dns(uint8_t number, char *text);
/* How many interfaces there are. */
unsigned host_interfaces(void);

/* A socket that is connected to this place; negative errno. Calls on it wait for `timeout_ms`. */
int host_connect(bool is_tcp, const char *address, uint16_t port, int timeout_ms);
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

/* An NVS of a few records, which fails on demand with this esp_err_t, 0 for none: when it is
 * opened, and when it is written. `nvs_erase` empties it; `nvs_damage` cuts a record short. */
void nvs_fail(int32_t open, int32_t set);
void nvs_erase(void);
void nvs_damage(const char *key);
/* Handles that were opened and not closed. */
int nvs_open_handles(void);

#endif
