/* What the parts of wg_lwip know of each other. */
#ifndef WG_LWIP_INTERNAL_H
#define WG_LWIP_INTERNAL_H

#include <string.h>

#include "lwip/ip.h"
#include "wg_lwip.h"

#if !LWIP_UDP || !LWIP_TIMERS
#error "wg_lwip needs LWIP_UDP and LWIP_TIMERS"
#endif

/* lwIP asserts that the core is locked since 2.1. */
#ifndef LWIP_ASSERT_CORE_LOCKED
#define LWIP_ASSERT_CORE_LOCKED()
#endif

/* All tunnels, so that an answer of DNS for one that is gone is not taken. */
extern struct wg_lwip *wg_lwip_all;

/* ---- wg_lwip.c: packets and time ---- */

uint64_t wg_lwip_now(const struct wg_lwip *tunnel);
/* Sends and arms what the engine wants; handshakes only where they may be computed. */
void wg_lwip_go_on(struct wg_lwip *tunnel, bool may_work);
/* Tries all packets that wait; those that still have no session go on waiting, or are dropped. */
void wg_lwip_flush(struct wg_lwip *tunnel, bool drop);
/* The timer. */
void wg_lwip_expired(void *arg);
/* Datagrams in. */
void wg_lwip_receive(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port);
/* Packets out. */
#if LWIP_IPV4
err_t wg_lwip_output4(struct netif *netif, struct pbuf *packet, const ip4_addr_t *next_hop);
#endif
#if LWIP_IPV6
err_t wg_lwip_output6(struct netif *netif, struct pbuf *packet, const ip6_addr_t *next_hop);
#endif

/* ---- wg_lwip_route.c: the interfaces beside the tunnel ---- */

bool wg_lwip_is_added(const struct wg_lwip *tunnel);
bool wg_lwip_is_tunnel(const struct netif *netif);
void wg_lwip_to_lwip(ip_addr_t *to, const struct wg_address *from);
void wg_lwip_from_lwip(struct wg_address *to, const ip_addr_t *from);
bool wg_lwip_has_address(struct netif *netif, const ip_addr_t *address);
/* Sends a datagram by the underlay, and leaves the pbuf to the caller. */
void wg_lwip_send(struct wg_lwip *tunnel, struct pbuf *datagram, const struct wg_transmit *transmit);
/* Keeps the default route where it is wanted: an underlay that comes back takes it, as ESP-IDF's do. */
void wg_lwip_keep_default(struct wg_lwip *tunnel);

/* ---- wg_lwip_names.c: endpoints by name ---- */

/* Asks for the names of peers that are not reached. */
void wg_lwip_ask(struct wg_lwip *tunnel);

#endif
