#include "wg_netif.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lwip/dns.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcpip_priv.h"
#include "lwip/snmp.h"
#include "lwip/sockets.h"
#include "lwip/tcpip.h"

#include "wg_netif_hooks.h"

#if LWIP_NUM_NETIF_CLIENT_DATA < 1
#error "wg_netif needs a client data slot: set CONFIG_LWIP_NUM_NETIF_CLIENT_DATA=1 or more"
#endif
#if !LWIP_IPV4 || !LWIP_IPV6
#error "wg_netif needs both families: set CONFIG_LWIP_IPV4=y and CONFIG_LWIP_IPV6=y"
#endif

/* How an interface is told from others: its first letters. */
#define NAME0 'w'
#define NAME1 'g'

struct wg_netif {
  struct netif netif;
  void *context;
  bool (*output)(void *context, const struct pbuf *packet, uint16_t length);
  /* lwIP's default interface before ours, while ours is the default. */
  struct netif *former_default;
  bool is_default;
#if LWIP_DNS
  ip_addr_t dns[DNS_MAX_SERVERS];
  ip_addr_t former_dns[DNS_MAX_SERVERS];
  size_t dns_count;
#endif
  size_t route_count;
  struct wg_address routes[];
};

/* ---- lwIP's thread, or the core lock --------------------------------------------------------- */

/* Work that needs the core lock. lwIP knows two ways, and tcpip_api_call is the one of them that
 * it was configured for; esp_netif_tcpip_exec is the same call. */
struct job {
  struct tcpip_api_call_data call;
  struct wg_netif *wg;
  const struct wg_netif_config *config;
  char *name;
  int result;
};

static int exec(tcpip_api_call_fn work, struct job *job) {
  (void)tcpip_api_call(work, &job->call);
  return job->result;
}

/* The client data slot of all our interfaces. `netif->state` is not ours to use: esp_netif keeps
 * its own handle there. */
static uint8_t client_data_slot;
static bool has_client_data_slot;

static struct wg_netif *of(struct netif *netif) {
  return netif_get_client_data(netif, client_data_slot);
}

static bool is_ours(const struct netif *netif) {
  return has_client_data_slot && netif->name[0] == NAME0 && netif->name[1] == NAME1 &&
         netif_get_client_data(netif, client_data_slot) != NULL;
}

/* ---- packets --------------------------------------------------------------------------------- */

static err_t output(struct netif *netif, struct pbuf *packet) {
  struct wg_netif *wg = of(netif);
  if (packet->tot_len > netif->mtu || !wg->output(wg->context, packet, packet->tot_len)) {
    MIB2_STATS_NETIF_INC(netif, ifoutdiscards);
    return ERR_MEM;
  }
  MIB2_STATS_NETIF_ADD(netif, ifoutoctets, packet->tot_len);
  return ERR_OK;
}

static err_t output4(struct netif *netif, struct pbuf *packet, const ip4_addr_t *next_hop) {
  (void)next_hop;
  return output(netif, packet);
}

static err_t output6(struct netif *netif, struct pbuf *packet, const ip6_addr_t *next_hop) {
  (void)next_hop;
  return output(netif, packet);
}

void wg_netif_gather(const struct pbuf *packet, uint8_t *to, uint16_t length) {
  pbuf_copy_partial(packet, to, length, 0);
}

bool wg_netif_input(struct wg_netif *wg, const uint8_t *packet, uint16_t length) {
  /* Allocating needs no lock. Of the right size: a pool's buffers are each as large as a frame. */
  struct pbuf *p = pbuf_alloc(PBUF_RAW, length, PBUF_RAM);
  if (p == NULL) {
    return false;
  }
  (void)pbuf_take(p, packet, length);
#if LWIP_TCPIP_CORE_LOCKING
  /* Not through lwIP's mailbox: a packet in there would outlive the interface. */
  LOCK_TCPIP_CORE();
  (void)ip_input(p, &wg->netif); /* It always takes the packet. */
  UNLOCK_TCPIP_CORE();
  return true;
#else
  /* The mailbox keeps its order, so that wg_netif_remove comes after this packet. */
  if (tcpip_inpkt(p, &wg->netif, ip_input) == ERR_OK) {
    return true;
  }
  pbuf_free(p);
  return false;
#endif
}

/* ---- routes ---------------------------------------------------------------------------------- */

static bool covers(const struct wg_address *prefix, const uint8_t *address) {
  size_t whole = prefix->prefix_len / 8;
  unsigned rest = prefix->prefix_len % 8;
  if (memcmp(prefix->bytes, address, whole) != 0) {
    return false;
  }
  return rest == 0 || (prefix->bytes[whole] ^ address[whole]) >> (8 - rest) == 0;
}

/* The length of the longest prefix that leads into this tunnel, or -1. */
static int route_len(const struct wg_netif *wg, bool is_ipv6, const uint8_t *address) {
  int longest = -1;
  for (size_t i = 0; i < wg->route_count; i++) {
    const struct wg_address *route = &wg->routes[i];
    if (route->is_ipv6 == is_ipv6 && route->prefix_len > longest && covers(route, address)) {
      longest = route->prefix_len;
    }
  }
  return longest;
}

/* The longest prefix wins, also against the networks of the other interfaces: a default route into
 * the tunnel leaves the local network reachable. */
struct netif *wg_netif_route4(const ip4_addr_t *source, const ip4_addr_t *destination) {
  struct netif *netif, *best = NULL;
  int longest = -1;
  if (ip4_addr_ismulticast(destination) || destination->addr == IPADDR_BROADCAST) {
    destination = NULL;
  }
  NETIF_FOREACH(netif) {
    if (!netif_is_up(netif) || !netif_is_link_up(netif)) {
      continue;
    }
    /* A socket that is bound to an address stays with its interface, as ESP-IDF has it. */
    if (source != NULL && !ip4_addr_isany(source) &&
        ip4_addr_cmp(source, netif_ip4_addr(netif))) {
      return netif;
    }
    if (destination == NULL) {
      continue;
    }
    int len = is_ours(netif) ? route_len(of(netif), false, (const uint8_t *)&destination->addr) : -1;
    if (len < 0 && !ip4_addr_isany(netif_ip4_addr(netif)) &&
        ip4_addr_netcmp(destination, netif_ip4_addr(netif), netif_ip4_netmask(netif))) {
      len = 0;
      for (uint32_t mask = lwip_ntohl(netif_ip4_netmask(netif)->addr); mask != 0; mask <<= 1) {
        len++;
      }
    }
    if (len > longest) {
      longest = len;
      best = netif;
    }
  }
  /* Only a tunnel is answered; all else is lwIP's to choose. */
  return best != NULL && is_ours(best) ? best : NULL;
}

struct netif *wg_netif_route6(const ip6_addr_t *source, const ip6_addr_t *destination) {
  struct netif *netif, *best = NULL;
  int longest = -1;
  if (ip6_addr_ismulticast(destination) || ip6_addr_islinklocal(destination)) {
    return NULL;
  }
  NETIF_FOREACH(netif) {
    if (!netif_is_up(netif) || !netif_is_link_up(netif)) {
      continue;
    }
    if (source != NULL && !ip6_addr_isany(source) &&
        netif_get_ip6_addr_match(netif, source) >= 0) {
      return netif;
    }
    int len = is_ours(netif) ? route_len(of(netif), true, (const uint8_t *)destination->addr) : -1;
    if (len < 0) {
      for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
        if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i)) &&
            ip6_addr_netcmp(destination, netif_ip6_addr(netif, i))) {
          len = 64;
        }
      }
    }
    if (len > longest) {
      longest = len;
      best = netif;
    }
  }
  return best != NULL && is_ours(best) ? best : NULL;
}

/* ---- coming and going ------------------------------------------------------------------------ */

static ip_addr_t to_lwip(const struct wg_address *from) {
  ip_addr_t to;
  memset(&to, 0, sizeof to);
  if (from->is_ipv6) {
    IP_SET_TYPE_VAL(to, IPADDR_TYPE_V6);
    memcpy(ip_2_ip6(&to)->addr, from->bytes, 16);
    ip6_addr_clear_zone(ip_2_ip6(&to));
  } else {
    IP_SET_TYPE_VAL(to, IPADDR_TYPE_V4);
    memcpy(&ip_2_ip4(&to)->addr, from->bytes, 4);
  }
  return to;
}

static bool is_in_use(const ip_addr_t *address) {
  struct netif *netif;
  NETIF_FOREACH(netif) {
    if (IP_IS_V6(address) ? netif_get_ip6_addr_match(netif, ip_2_ip6(address)) >= 0
                          : ip4_addr_cmp(ip_2_ip4(address), netif_ip4_addr(netif))) {
      return true;
    }
  }
  return false;
}

static err_t init(struct netif *netif) {
  struct wg_netif *wg = LWIP_CONST_CAST(struct wg_netif *, netif);
  netif_set_client_data(netif, client_data_slot, wg);
  netif->name[0] = NAME0;
  netif->name[1] = NAME1;
  netif->output = output4;
  netif->output_ip6 = output6;
  /* No hardware address, no neighbours, no groups to join. */
  netif->flags = 0;
  netif->hwaddr_len = 0;
  MIB2_INIT_NETIF(netif, snmp_ifType_tunnel, 0);
  return ERR_OK;
}

static int check(const struct wg_netif_config *config) {
  size_t v4 = 0, v6 = 0;
  for (size_t i = 0; i < config->address_count; i++) {
    ip_addr_t address = to_lwip(&config->addresses[i]);
    if (is_in_use(&address)) {
      return WG_NETIF_ADDRESS_IN_USE;
    }
    if (IP_IS_V6(&address)) {
      v6++;
    } else {
      v4++;
    }
  }
  /* The first of IPv6 is kept for the link-local address. */
  return v4 > 1 || v6 > LWIP_IPV6_NUM_ADDRESSES - 1 ? WG_NETIF_TOO_MANY_ADDRESSES : WG_NETIF_OK;
}

static void set_dns(struct wg_netif *wg, const struct wg_netif_config *config) {
#if LWIP_DNS
  for (size_t i = 0; i < config->dns_server_count && i < DNS_MAX_SERVERS; i++) {
    wg->former_dns[i] = *dns_getserver((u8_t)i);
    wg->dns[i] = to_lwip(&config->dns_servers[i]);
    dns_setserver((u8_t)i, &wg->dns[i]);
    wg->dns_count = i + 1;
  }
#else
  (void)wg;
  (void)config;
#endif
}

static err_t add(struct tcpip_api_call_data *call) {
  struct job *job = (struct job *)call;
  const struct wg_netif_config *config = job->config;
  struct wg_netif *wg = job->wg;
  struct netif *netif = &wg->netif;

  job->result = check(config);
  if (job->result != WG_NETIF_OK) {
    return ERR_OK;
  }
  if (!has_client_data_slot) {
    client_data_slot = netif_alloc_client_data_id();
    has_client_data_slot = true;
  }
  ip4_addr_t address4 = {0}, mask4 = {0};
  for (size_t i = 0; i < config->address_count; i++) {
    if (!config->addresses[i].is_ipv6) {
      uint8_t len = config->addresses[i].prefix_len;
      memcpy(&address4.addr, config->addresses[i].bytes, 4);
      mask4.addr = len == 0 ? 0 : lwip_htonl(0xffffffffu << (32 - len));
    }
  }
  if (netif_add(netif, &address4, &mask4, IP4_ADDR_ANY4, NULL, init, ip_input) == NULL) {
    job->result = WG_NETIF_NO_MEMORY;
    return ERR_OK;
  }
  netif->mtu = config->mtu;
#if LWIP_ND6_ALLOW_RA_UPDATES
  netif->mtu6 = config->mtu;
#endif
  netif_set_up(netif);
  netif_set_link_up(netif);
#if LWIP_IPV6_SEND_ROUTER_SOLICIT
  netif->rs_count = 0; /* Nobody in a tunnel advertises routers. */
#endif
  for (size_t i = 0; i < config->address_count; i++) {
    if (config->addresses[i].is_ipv6) {
      ip_addr_t address = to_lwip(&config->addresses[i]);
      s8_t index;
      (void)netif_add_ip6_address(netif, ip_2_ip6(&address), &index);
      /* Nobody to ask whether the address is taken. */
      netif_ip6_addr_set_state(netif, index, IP6_ADDR_PREFERRED);
    }
  }
  if (config->default_route) {
    wg->former_default = netif_default;
    wg->is_default = true;
    netif_set_default(netif);
  }
  set_dns(wg, config);
  return ERR_OK;
}

int wg_netif_add(const struct wg_netif_config *config, struct wg_netif **added) {
  size_t routes = config->route_count * sizeof config->routes[0];
  struct wg_netif *wg = calloc(1, sizeof *wg + routes);
  if (wg == NULL) {
    return WG_NETIF_NO_MEMORY;
  }
  wg->context = config->context;
  wg->output = config->output;
  wg->route_count = config->route_count;
  if (routes != 0) {
    memcpy(wg->routes, config->routes, routes);
  }
  struct job job = {.wg = wg, .config = config};
  int result = exec(add, &job);
  if (result != WG_NETIF_OK) {
    free(wg);
    return result;
  }
  *added = wg;
  return WG_NETIF_OK;
}

static err_t remove_netif(struct tcpip_api_call_data *call) {
  struct wg_netif *wg = ((struct job *)call)->wg;
  struct netif *netif, *former = NULL;
#if LWIP_DNS
  for (size_t i = 0; i < wg->dns_count; i++) {
    if (ip_addr_cmp(dns_getserver((u8_t)i), &wg->dns[i])) {
      dns_setserver((u8_t)i, &wg->former_dns[i]);
    }
  }
#endif
  bool restore = wg->is_default && netif_default == &wg->netif;
  /* Another tunnel may have ours for the one to go back to; and ours may be gone. */
  NETIF_FOREACH(netif) {
    if (netif == wg->former_default) {
      former = netif;
    }
    if (is_ours(netif) && of(netif)->former_default == &wg->netif) {
      of(netif)->former_default = wg->former_default;
    }
  }
  netif_set_link_down(&wg->netif);
  netif_set_down(&wg->netif);
  netif_remove(&wg->netif);
  if (restore) {
    netif_set_default(former);
  }
  return ERR_OK;
}

void wg_netif_remove(struct wg_netif *wg) {
  struct job job = {.wg = wg};
  (void)exec(remove_netif, &job);
  free(wg);
}

/* ---- the underlay ---------------------------------------------------------------------------- */

static err_t default_name(struct tcpip_api_call_data *call) {
  struct job *job = (struct job *)call;
  struct netif *wanted = netif_default, *netif;
  if (wanted != NULL && is_ours(wanted)) {
    wanted = of(wanted)->former_default;
  }
  /* The one before ours may be gone meanwhile. */
  NETIF_FOREACH(netif) {
    if (netif == wanted) {
      (void)netif_index_to_name(netif_get_index(netif), job->name);
    }
  }
  return ERR_OK;
}

void wg_netif_default_name(char *name) {
  struct job job = {.name = name};
  name[0] = '\0';
  (void)exec(default_name, &job);
}

int wg_underlay_bind(int socket, const char *name) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  return lwip_setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, &request, sizeof request) == 0
             ? 0
             : errno;
}

#ifdef ESP_PLATFORM
#include "esp_vfs_eventfd.h"

int wg_eventfd_prepare(void) {
  esp_vfs_eventfd_config_t config = ESP_VFS_EVENTD_CONFIG_DEFAULT();
  esp_err_t result = esp_vfs_eventfd_register(&config);
  return result == ESP_ERR_INVALID_STATE ? ESP_OK : result;
}
#endif
