#include "wg_lwip_internal.h"

#include "lwip/snmp.h"
#include "lwip/timeouts.h"

#define NAME0 'w'
#define NAME1 'g'
#define DEFAULT_MTU 1420

static err_t init(struct netif *netif) {
  netif->name[0] = NAME0;
  netif->name[1] = NAME1;
#if LWIP_IPV4
  netif->output = wg_lwip_output4;
#endif
#if LWIP_IPV6
  netif->output_ip6 = wg_lwip_output6;
#endif
  /* No hardware address, no neighbours, no groups to join. */
  netif->flags = 0;
  netif->hwaddr_len = 0;
  MIB2_INIT_NETIF(netif, snmp_ifType_tunnel, 0);
  return ERR_OK;
}

static bool is_in_use(const ip_addr_t *address) {
  struct netif *netif;
  NETIF_FOREACH(netif) {
    if (wg_lwip_has_address(netif, address)) {
      return true;
    }
  }
  return false;
}

/* What is wrong with the addresses, before anything is made. */
static int check_addresses(const struct wg_lwip_config *config) {
  size_t i;
  int v4 = 0, v6 = 0;
  for (i = 0; i < WG_LWIP_ADDRESSES; i++) {
    ip_addr_t address;
    uint8_t family = config->addresses[i].family;
    if (family == 0) {
      continue;
    }
    v4 += family == 4;
    v6 += family == 6;
    if ((family != 4 && family != 6) || config->prefix_lens[i] > (family == 4 ? 32 : 128)) {
      return WG_ERR_ADDRESS;
    }
    wg_lwip_to_lwip(&address, &config->addresses[i]);
    if (is_in_use(&address)) {
      return WG_LWIP_ERR_ADDRESS_IN_USE;
    }
  }
  /* The first of IPv6 is kept for the link-local address. */
  if (v4 + v6 == 0 || v4 > LWIP_IPV4 || v6 > (LWIP_IPV6 ? LWIP_IPV6_NUM_ADDRESSES - 1 : 0)) {
    return WG_LWIP_ERR_ADDRESSES;
  }
  return WG_OK;
}

static struct netif *add_netif(struct wg_lwip *tunnel, const struct wg_lwip_config *config) {
  struct netif *netif = &tunnel->netif;
  size_t i;
#if LWIP_IPV4
  ip4_addr_t address4, mask4;
  ip4_addr_set_zero(&address4);
  ip4_addr_set_zero(&mask4);
  for (i = 0; i < WG_LWIP_ADDRESSES; i++) {
    if (config->addresses[i].family == 4) {
      uint8_t len = config->prefix_lens[i];
      memcpy(&address4.addr, config->addresses[i].bytes, 4);
      mask4.addr = len == 0 ? 0 : lwip_htonl(0xffffffffu << (32 - len));
    }
  }
  if (netif_add(netif, &address4, &mask4, IP4_ADDR_ANY4, NULL, init, ip_input) == NULL) {
    return NULL;
  }
#else
  if (netif_add(netif, NULL, init, ip_input) == NULL) {
    return NULL;
  }
#endif
  netif->mtu = config->mtu == 0 ? DEFAULT_MTU : config->mtu;
#if LWIP_IPV6 && LWIP_ND6_ALLOW_RA_UPDATES
  netif->mtu6 = netif->mtu;
#endif
  netif_set_up(netif);
  netif_set_link_up(netif);
#if LWIP_IPV6
#if LWIP_IPV6_SEND_ROUTER_SOLICIT
  netif->rs_count = 0; /* Nobody in a tunnel advertises routers. */
#endif
  for (i = 0; i < WG_LWIP_ADDRESSES; i++) {
    if (config->addresses[i].family == 6) {
      ip_addr_t address;
      s8_t index = -1;
      wg_lwip_to_lwip(&address, &config->addresses[i]);
      if (netif_add_ip6_address(netif, ip_2_ip6(&address), &index) == ERR_OK && index >= 0) {
        /* Nobody to ask whether the address is taken. */
        netif_ip6_addr_set_state(netif, index, IP6_ADDR_PREFERRED);
      }
    }
  }
#endif
  return netif;
}

int wg_lwip_add(struct wg_lwip *tunnel, const struct wg_lwip_config *config) {
  struct udp_pcb *pcb;
  struct wg *wg;
  int result;
  LWIP_ASSERT_CORE_LOCKED();
  if (tunnel == NULL || config == NULL || config->now == NULL) {
    return WG_ERR_NULL;
  }
  if (wg_lwip_is_added(tunnel)) {
    return WG_LWIP_ERR_ADDED;
  }
  if (memchr(config->underlay, '\0', sizeof config->underlay) == NULL) {
    return WG_LWIP_ERR_NAME;
  }
  result = check_addresses(config);
  if (result != WG_OK) {
    return result;
  }
  pcb = udp_new_ip_type(IPADDR_TYPE_ANY);
  if (pcb == NULL) {
    return WG_LWIP_ERR_MEMORY;
  }
  if (udp_bind(pcb, IP_ANY_TYPE, config->listen_port) != ERR_OK) {
    udp_remove(pcb);
    return WG_LWIP_ERR_PORT_IN_USE;
  }
  result = wg_init(&wg, config->storage, config->storage_size, config->peers, config->routes,
                   config->port);
  if (result != WG_OK) {
    udp_remove(pcb);
    return result;
  }
  memset(tunnel, 0, sizeof *tunnel);
  tunnel->wg = wg;
  tunnel->pcb = pcb;
  tunnel->now = config->now;
  tunnel->defer = config->defer;
  tunnel->is_always_up = config->is_always_up;
  tunnel->context = config->port->context;
  memcpy(tunnel->underlay, config->underlay, sizeof tunnel->underlay);
  /* lwIP announces addresses as it adds them, and a listener may look whose they are. */
  tunnel->next = wg_lwip_all;
  wg_lwip_all = tunnel;
  if (add_netif(tunnel, config) == NULL) {
    wg_lwip_all = tunnel->next;
    (void)wg_wipe(wg);
    udp_remove(pcb);
    memset(tunnel, 0, sizeof *tunnel);
    return WG_LWIP_ERR_MEMORY;
  }
  (void)wg_set_mtu(wg, tunnel->netif.mtu);
  udp_recv(pcb, wg_lwip_receive, tunnel);
  return WG_OK;
}

int wg_lwip_remove(struct wg_lwip *tunnel) {
  struct wg_lwip **link;
  size_t i;
  LWIP_ASSERT_CORE_LOCKED();
  if (!wg_lwip_is_added(tunnel)) {
    return WG_LWIP_ERR_NOT_ADDED;
  }
  (void)wg_lwip_restore_default(tunnel);
  for (link = &wg_lwip_all; *link != NULL; link = &(*link)->next) {
    /* Another tunnel may have ours for the one to go back to. */
    if ((*link)->former_default == &tunnel->netif) {
      (*link)->former_default = tunnel->former_default;
    }
  }
  netif_set_link_down(&tunnel->netif);
  netif_set_down(&tunnel->netif);
  netif_remove(&tunnel->netif);
  udp_remove(tunnel->pcb);
  /* After all that could send by the interface, and arm it. */
  sys_untimeout(wg_lwip_expired, tunnel);
  for (link = &wg_lwip_all; *link != tunnel; link = &(*link)->next) {
  }
  *link = tunnel->next;
  for (i = 0; i < WG_LWIP_WAITING; i++) {
    if (tunnel->waiting[i] != NULL) {
      pbuf_free(tunnel->waiting[i]);
    }
  }
  for (i = 0; i < WG_LWIP_DEFERRED; i++) {
    if (tunnel->deferred[i].packet != NULL) {
      pbuf_free(tunnel->deferred[i].packet);
    }
    if (tunnel->outbound[i] != NULL) {
      pbuf_free(tunnel->outbound[i]);
    }
  }
  (void)wg_wipe(tunnel->wg);
  memset(tunnel, 0, sizeof *tunnel);
  return WG_OK;
}

const char *wg_lwip_strerror(int result) {
  switch (result) {
  case WG_LWIP_ERR_ADDED:
    return "the tunnel is added already: remove it first";
  case WG_LWIP_ERR_NOT_ADDED:
    return "the tunnel is not added: call wg_lwip_add first";
  case WG_LWIP_ERR_MEMORY:
    return "lwIP has no memory for the tunnel: raise MEMP_NUM_UDP_PCB";
  case WG_LWIP_ERR_PORT_IN_USE:
    return "something listens on the UDP port already: choose another, or 0 for any";
  case WG_LWIP_ERR_ADDRESS_IN_USE:
    return "an interface has the tunnel's address already: choose another";
  case WG_LWIP_ERR_ADDRESSES:
    return "the tunnel needs an address: one of IPv4 at most, and as many of IPv6 as lwIP has room for";
  case WG_LWIP_ERR_NAME:
    return "this is no host name or address; a name needs LWIP_DNS";
  case WG_LWIP_ERR_NAMES_FULL:
    return "more endpoints by name than WG_LWIP_NAMES: compile with more";
  default:
    return wg_strerror(result);
  }
}
