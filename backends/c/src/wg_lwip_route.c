#include "wg_lwip_internal.h"

struct wg_lwip *wg_lwip_all;

bool wg_lwip_is_added(const struct wg_lwip *tunnel) {
  const struct wg_lwip *each = wg_lwip_all;
  while (each != NULL && each != tunnel) {
    each = each->next;
  }
  return each != NULL;
}

bool wg_lwip_is_tunnel(const struct netif *netif) {
  const struct wg_lwip *each = wg_lwip_all;
  while (each != NULL && &each->netif != netif) {
    each = each->next;
  }
  return each != NULL;
}

/* ---- addresses ------------------------------------------------------------------------------------ */

void wg_lwip_to_lwip(ip_addr_t *to, const struct wg_address *from) {
  memset(to, 0, sizeof *to);
#if LWIP_IPV6
  if (from->family == 6) {
    IP_SET_TYPE(to, IPADDR_TYPE_V6);
    memcpy(ip_2_ip6(to)->addr, from->bytes, 16);
  }
#endif
#if LWIP_IPV4
  if (from->family == 4) {
    IP_SET_TYPE(to, IPADDR_TYPE_V4);
    memcpy(&ip_2_ip4(to)->addr, from->bytes, 4);
  }
#endif
}

void wg_lwip_from_lwip(struct wg_address *to, const ip_addr_t *from) {
  memset(to, 0, sizeof *to);
#if LWIP_IPV6
  if (IP_IS_V6(from)) {
    to->family = 6;
    memcpy(to->bytes, ip_2_ip6(from)->addr, 16);
  }
#endif
#if LWIP_IPV4
  if (IP_IS_V4(from)) {
    to->family = 4;
    memcpy(to->bytes, &ip_2_ip4(from)->addr, 4);
  }
#endif
}

bool wg_lwip_has_address(struct netif *netif, const ip_addr_t *address) {
#if LWIP_IPV6
  if (IP_IS_V6(address)) {
    return netif_get_ip6_addr_match(netif, ip_2_ip6(address)) >= 0;
  }
#endif
#if LWIP_IPV4
  return ip4_addr_cmp(ip_2_ip4(address), netif_ip4_addr(netif));
#else
  return false;
#endif
}

/* ---- the underlay --------------------------------------------------------------------------------- */

static bool is_usable(struct netif *netif) {
  return !wg_lwip_is_tunnel(netif) && netif_is_up(netif) && netif_is_link_up(netif);
}

/* Whether the interface can send to addresses of this family at wg_lwip_all. */
static bool has_family(struct netif *netif, const ip_addr_t *to) {
#if LWIP_IPV6
  if (IP_IS_V6(to)) {
    int i;
    for (i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
      if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i))) {
        return true;
      }
    }
    return false;
  }
#endif
#if LWIP_IPV4
  LWIP_UNUSED_ARG(to);
  return !ip4_addr_isany_val(*netif_ip4_addr(netif));
#else
  return false;
#endif
}

static bool is_neighbour(struct netif *netif, const ip_addr_t *to) {
#if LWIP_IPV6
  if (IP_IS_V6(to)) {
    int i;
    for (i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
      if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i)) &&
          ip6_addr_netcmp(ip_2_ip6(to), netif_ip6_addr(netif, i))) {
        return true;
      }
    }
    return false;
  }
#endif
#if LWIP_IPV4
  return ip4_addr_netcmp(ip_2_ip4(to), netif_ip4_addr(netif), netif_ip4_netmask(netif));
#else
  return false;
#endif
}

static bool has_name(struct netif *netif, const char *name) {
  char own[NETIF_NAMESIZE];
  return netif_index_to_name(netif_get_index(netif), own) != NULL && strcmp(own, name) == 0;
}

/* lwIP's default interface, were there no tunnels. */
static struct netif *default_beneath(void) {
  struct netif *netif = netif_default;
  const struct wg_lwip *each;
  for (each = wg_lwip_all; each != NULL; each = each->next) {
    if (&each->netif == netif) {
      netif = each->former_default;
      each = wg_lwip_all;
    }
  }
  return netif;
}

/* The interface to send a datagram by; never a tunnel, whatever the routes say. */
static struct netif *underlay_to(const struct wg_lwip *tunnel, const ip_addr_t *to) {
  struct netif *netif, *any = NULL, *preferred = default_beneath(), *found = NULL;
  NETIF_FOREACH(netif) {
    if (!is_usable(netif) || !has_family(netif, to)) {
      continue;
    }
    if (tunnel->underlay[0] != '\0') {
      if (has_name(netif, tunnel->underlay)) {
        return netif;
      }
      continue;
    }
    if (is_neighbour(netif, to)) {
      return netif;
    }
    if (netif == preferred) {
      found = netif;
    } else if (any == NULL) {
      any = netif;
    }
  }
  return found != NULL ? found : any;
}

void wg_lwip_send(struct wg_lwip *tunnel, struct pbuf *datagram, const struct wg_transmit *transmit) {
  ip_addr_t to, from;
  struct netif *netif;
  err_t sent = ERR_RTE;
  wg_lwip_to_lwip(&to, &transmit->to.address);
  tunnel->pcb->tos = transmit->traffic_class;
  if (transmit->from.family != 0) {
    wg_lwip_to_lwip(&from, &transmit->from);
    NETIF_FOREACH(netif) {
      if (is_usable(netif) && wg_lwip_has_address(netif, &from) &&
          (tunnel->underlay[0] == '\0' || has_name(netif, tunnel->underlay))) {
        sent = udp_sendto_if_src(tunnel->pcb, datagram, &to, transmit->to.port, netif, &from);
        break;
      }
    }
  }
  if (sent == ERR_RTE) {
    netif = underlay_to(tunnel, &to);
    if (netif == NULL) {
      tunnel->counters.no_underlay++;
      return;
    }
#if LWIP_IPV6
    if (IP_IS_V6(&to) && ip6_addr_lacks_zone(ip_2_ip6(&to), IP6_UNICAST)) {
      ip6_addr_assign_zone(ip_2_ip6(&to), IP6_UNICAST, netif);
    }
#endif
    sent = udp_sendto_if(tunnel->pcb, datagram, &to, transmit->to.port, netif);
  }
  if (sent == ERR_RTE) {
    tunnel->counters.no_underlay++;
  } else if (sent != ERR_OK) {
    tunnel->counters.no_memory++;
  }
}

/* ---- the default route ----------------------------------------------------------------------------- */

void wg_lwip_keep_default(struct wg_lwip *tunnel) {
  if (tunnel->is_default && netif_default != &tunnel->netif &&
      (netif_default == NULL || !wg_lwip_is_tunnel(netif_default))) {
    tunnel->former_default = netif_default;
    netif_set_default(&tunnel->netif);
  }
}

int wg_lwip_set_default(struct wg_lwip *tunnel) {
  LWIP_ASSERT_CORE_LOCKED();
  if (!wg_lwip_is_added(tunnel)) {
    return WG_LWIP_ERR_NOT_ADDED;
  }
  if (netif_default != &tunnel->netif) {
    tunnel->former_default = netif_default;
    netif_set_default(&tunnel->netif);
  }
  tunnel->is_default = true;
  return WG_OK;
}

int wg_lwip_restore_default(struct wg_lwip *tunnel) {
  struct netif *netif, *former = NULL, *any = NULL;
  LWIP_ASSERT_CORE_LOCKED();
  if (!wg_lwip_is_added(tunnel)) {
    return WG_LWIP_ERR_NOT_ADDED;
  }
  tunnel->is_default = false;
  if (netif_default != &tunnel->netif) {
    return WG_OK;
  }
  NETIF_FOREACH(netif) {
    if (netif == tunnel->former_default) {
      former = netif;
    } else if (any == NULL && is_usable(netif)) {
      any = netif;
    }
  }
  netif_set_default(former != NULL ? former : any);
  return WG_OK;
}
