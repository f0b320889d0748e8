/* A lwIP network interface whose packets go through a WireGuard tunnel.
 *
 * Everything here may be called from any thread but lwIP's own, and must not be called with the
 * core lock held: each call takes the lock, or has lwIP's thread do the work, as lwIP is
 * configured. The functions of the section "hooks" are the exception: lwIP calls them. */
#ifndef WG_NETIF_H
#define WG_NETIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pbuf;
struct wg_netif;

/* An address or a prefix of either family, in network order; IPv4 takes the first 4 bytes. */
struct wg_address {
  uint8_t bytes[16];
  uint8_t is_ipv6;
  uint8_t prefix_len;
};

struct wg_netif_config {
  /* Given to `output`, and not touched otherwise. */
  void *context;
  /* Takes a packet that lwIP sends: `length` bytes, to be read by wg_netif_gather before it
   * returns. Called with the core lock held, so it must neither block nor call into lwIP
   * otherwise. False when there is no room: the caller of lwIP gets ERR_MEM. */
  bool (*output)(void *context, const struct pbuf *packet, uint16_t length);
  const struct wg_address *addresses;
  size_t address_count;
  /* What is routed into the tunnel; see wg_netif_route4. */
  const struct wg_address *routes;
  size_t route_count;
  const struct wg_address *dns_servers;
  size_t dns_server_count;
  uint16_t mtu;
  /* Make it lwIP's default interface, until wg_netif_remove. */
  bool default_route;
};

/* What wg_netif_add answers. */
enum {
  WG_NETIF_OK = 0,
  /* No memory, or no client data slot. */
  WG_NETIF_NO_MEMORY = 1,
  /* An interface has one of the addresses already: a tunnel that was not stopped. */
  WG_NETIF_ADDRESS_IN_USE = 2,
  /* More addresses than lwIP has room for: one of IPv4, LWIP_IPV6_NUM_ADDRESSES - 1 of IPv6. */
  WG_NETIF_TOO_MANY_ADDRESSES = 3,
};

/* Adds an interface, up, with its addresses, routes and name servers. Nothing is changed when it
 * fails. */
int wg_netif_add(const struct wg_netif_config *config, struct wg_netif **added);

/* Takes it away, with whatever it changed: connections from its addresses are aborted, the
 * default interface and the name servers are as before, unless somebody set others meanwhile.
 * `output` is not called any more once this returns. No wg_netif_input may be under way. */
void wg_netif_remove(struct wg_netif *netif);

/* Hands a packet to lwIP; false when it has no memory for it. */
bool wg_netif_input(struct wg_netif *netif, const uint8_t *packet, uint16_t length);

/* Copies a packet, chained or not, to `to`. For `output` alone. */
void wg_netif_gather(const struct pbuf *packet, uint8_t *to, uint16_t length);

/* The name of lwIP's default interface, such as st1, or of the one before ours; an empty one when
 * there is none. `name` has 6 bytes. */
void wg_netif_default_name(char *name);

/* Has a UDP socket of lwIP send and receive by the interface of this name alone; an errno. */
int wg_underlay_bind(int socket, const char *name);

#ifdef ESP_PLATFORM
/* Has ESP-IDF provide eventfd(); done twice is done once. An esp_err_t. */
int wg_eventfd_prepare(void);
#endif

#ifdef __cplusplus
}
#endif

#endif
