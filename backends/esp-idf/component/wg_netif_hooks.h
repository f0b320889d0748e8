/* Routes for lwIP, which has no table of its own: it sends by the interface in whose network the
 * destination is, or else by the default interface. With these hooks every prefix that is routed
 * into a tunnel gets there.
 *
 * lwIP includes this file by the name in LWIP_HOOK_FILENAME; ESP-IDF, by the name in
 * ESP_IDF_LWIP_HOOK_FILENAME. The component's CMakeLists.txt sets that. */
#ifndef WG_NETIF_HOOKS_H
#define WG_NETIF_HOOKS_H

#include "lwip/ip4_addr.h"
#include "lwip/ip6_addr.h"

struct netif;

struct netif *wg_netif_route4(const ip4_addr_t *source, const ip4_addr_t *destination);
struct netif *wg_netif_route6(const ip6_addr_t *source, const ip6_addr_t *destination);

#undef LWIP_HOOK_IP4_ROUTE_SRC
#define LWIP_HOOK_IP4_ROUTE_SRC(source, destination) wg_netif_route4(source, destination)
#undef LWIP_HOOK_IP6_ROUTE
#define LWIP_HOOK_IP6_ROUTE(source, destination) wg_netif_route6(source, destination)

#endif
