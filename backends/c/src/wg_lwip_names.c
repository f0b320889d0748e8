#include "wg_lwip_internal.h"

#include "lwip/dns.h"

#if LWIP_DNS
static void answered(const char *host, const ip_addr_t *address, void *arg) {
  struct wg_lwip *tunnel = (struct wg_lwip *)arg;
  size_t i;
  /* DNS has no way to take a question back: the tunnel may be gone, or another one. */
  if (!wg_lwip_is_added(tunnel)) {
    return;
  }
  for (i = 0; i < WG_LWIP_NAMES; i++) {
    struct wg_lwip_name *name = &tunnel->names[i];
    if (name->host == NULL || !name->is_asked || strcmp(name->host, host) != 0) {
      continue;
    }
    name->is_asked = false;
    /* The other family next, should this one be of no use. */
    name->wants_v6 = !name->wants_v6;
    if (address != NULL) {
      struct wg_endpoint endpoint;
      struct wg_status status;
      memset(&endpoint, 0, sizeof endpoint);
      wg_lwip_from_lwip(&endpoint.address, address);
      endpoint.port = name->port;
      /* A session that came meanwhile knows better where the peer is. */
      if (wg_get_status(tunnel->wg, wg_lwip_now(tunnel), name->peer, &status) == WG_OK &&
          status.connection != WG_OK) {
        (void)wg_set_endpoint(tunnel->wg, wg_lwip_now(tunnel), name->peer, &endpoint);
        if (tunnel->is_always_up) {
          (void)wg_connect(tunnel->wg, wg_lwip_now(tunnel), name->peer);
        }
      }
      /* Without a session from it the engine's own timer asks again. */
      name->ask_at = WG_NEVER;
      tunnel->has_answer = true;
    } else {
      name->ask_at = name->not_before;
    }
  }
  if (tunnel->defer != NULL) {
    wg_lwip_go_on(tunnel, false);
  } else {
    (void)wg_lwip_work(tunnel);
  }
}

static void ask_for(struct wg_lwip *tunnel, struct wg_lwip_name *name) {
  ip_addr_t address;
  err_t result;
#if LWIP_IPV4 && LWIP_IPV6
  u8_t family = name->wants_v6 ? LWIP_DNS_ADDRTYPE_IPV6_IPV4 : LWIP_DNS_ADDRTYPE_IPV4_IPV6;
#else
  u8_t family = LWIP_DNS_ADDRTYPE_DEFAULT;
#endif
  name->is_asked = true;
  name->ask_at = WG_NEVER;
  name->not_before = wg_lwip_now(tunnel) + WG_LWIP_NAME_PAUSE;
  result = dns_gethostbyname_addrtype(name->host, &address, answered, tunnel, family);
  if (result == ERR_OK) {
    answered(name->host, &address, tunnel);
  } else if (result != ERR_INPROGRESS) {
    answered(name->host, NULL, tunnel);
  }
}

void wg_lwip_ask(struct wg_lwip *tunnel) {
  size_t i;
  for (i = 0; i < WG_LWIP_NAMES; i++) {
    struct wg_lwip_name *name = &tunnel->names[i];
    struct wg_status status;
    if (name->host == NULL || name->is_asked) {
      continue;
    }
    name->ask_at = WG_NEVER;
    if (wg_get_status(tunnel->wg, wg_lwip_now(tunnel), name->peer, &status) != WG_OK) {
      name->host = NULL; /* The peer is gone. */
    } else if (status.endpoint.address.family != 0 && status.connection != WG_REFUSED_UNANSWERED) {
      continue;
    } else if (wg_lwip_now(tunnel) < name->not_before) {
      name->ask_at = name->not_before;
    } else {
      ask_for(tunnel, name);
    }
  }
}
#endif

int wg_lwip_set_endpoint(struct wg_lwip *tunnel, wg_peer peer, const char *host, uint16_t port) {
  struct wg_lwip_name *place = NULL;
  struct wg_endpoint endpoint;
  struct wg_status status;
  size_t i;
  int result;
  LWIP_ASSERT_CORE_LOCKED();
  if (host == NULL) {
    return WG_ERR_NULL;
  }
  if (!wg_lwip_is_added(tunnel)) {
    return WG_LWIP_ERR_NOT_ADDED;
  }
  if (host[0] == '\0') {
    return WG_LWIP_ERR_NAME;
  }
  if (port == 0) {
    return WG_ERR_ENDPOINT;
  }
  result = wg_get_status(tunnel->wg, wg_lwip_now(tunnel), peer, &status);
  if (result != WG_OK) {
    return result;
  }
  for (i = WG_LWIP_NAMES; i-- > 0;) {
    struct wg_lwip_name *name = &tunnel->names[i];
    if (name->host != NULL && name->peer == peer) {
      place = name;
      break;
    }
    if (name->host == NULL) {
      place = name;
    }
  }
  memset(&endpoint, 0, sizeof endpoint);
  endpoint.port = port;
  if (wg_parse_address(&endpoint.address, host) == WG_OK) {
    result = wg_set_endpoint(tunnel->wg, wg_lwip_now(tunnel), peer, &endpoint);
    if (result == WG_OK && tunnel->is_always_up) {
      (void)wg_connect(tunnel->wg, wg_lwip_now(tunnel), peer);
    }
    if (result == WG_OK && place != NULL && place->host != NULL) {
      place->host = NULL;
    }
  } else {
#if LWIP_DNS
    if (strlen(host) >= DNS_MAX_NAME_LENGTH) {
      return WG_LWIP_ERR_NAME;
    }
    if (place == NULL) {
      return WG_LWIP_ERR_NAMES_FULL;
    }
    memset(place, 0, sizeof *place);
    place->host = host;
    place->port = port;
    place->peer = peer;
    ask_for(tunnel, place);
#else
    return WG_LWIP_ERR_NAME;
#endif
  }
  wg_lwip_go_on(tunnel, tunnel->defer == NULL);
  return result;
}
