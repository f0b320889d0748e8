#include "wg_lwip_internal.h"

#include "lwip/pbuf.h"
#include "lwip/snmp.h"
#include "lwip/timeouts.h"

/* The first byte of the messages that cost a curve's multiplication, or a cookie, to answer. */
#define LAST_HANDSHAKE_KIND 3
/* lwIP's timers count milliseconds in 32 bits. A later deadline is looked at again after a day. */
#define LONGEST_TIMER 86400000u

uint64_t wg_lwip_now(const struct wg_lwip *tunnel) { return tunnel->now(tunnel->context); }

/* ---- packets out ---------------------------------------------------------------------------------- */

/* Whether an endpoint may yet come from DNS. */
static bool has_names(const struct wg_lwip *tunnel) {
  size_t i;
  for (i = 0; i < WG_LWIP_NAMES; i++) {
    if (tunnel->names[i].host != NULL) {
      return true;
    }
  }
  return false;
}

/* Seals and sends a packet that stands behind its head room, and frees it; or leaves it to wait, for a
 * session or for its peer's address: WG_ERR_NO_SESSION. */
static int seal_and_send(struct wg_lwip *tunnel, struct pbuf *packet) {
  struct wg_transmit transmit;
  u16_t length = (u16_t)(packet->tot_len - WG_HEADROOM - WG_TAILROOM);
  int result =
      wg_seal(tunnel->wg, wg_lwip_now(tunnel), (uint8_t *)packet->payload, packet->len, length, &transmit);
  if (result == WG_ERR_NO_SESSION || (result == WG_REFUSED_NO_ENDPOINT && has_names(tunnel))) {
    return WG_ERR_NO_SESSION;
  }
  if (result == WG_OK) {
    pbuf_realloc(packet, (u16_t)transmit.length);
    wg_lwip_send(tunnel, packet, &transmit);
  }
  pbuf_free(packet);
  return result;
}

/* Takes the oldest pbuf of a queue, or NULL. */
static struct pbuf *take(struct pbuf **queue, size_t size) {
  struct pbuf *first = queue[0];
  memmove(queue, queue + 1, (size - 1) * sizeof queue[0]);
  queue[size - 1] = NULL;
  return first;
}

/* Appends to a queue that has room. */
static void put(struct pbuf **queue, size_t size, struct pbuf *last) {
  size_t i = 0;
  while (i < size - 1 && queue[i] != NULL) {
    i++;
  }
  queue[i] = last;
}

static void wait(struct wg_lwip *tunnel, struct pbuf *packet) {
  if (tunnel->waiting[WG_LWIP_WAITING - 1] != NULL) {
    pbuf_free(take(tunnel->waiting, WG_LWIP_WAITING));
    tunnel->counters.displaced++;
  }
  put(tunnel->waiting, WG_LWIP_WAITING, packet);
}

void wg_lwip_flush(struct wg_lwip *tunnel, bool drop) {
  struct pbuf *waiting[WG_LWIP_WAITING];
  size_t i;
  memcpy(waiting, tunnel->waiting, sizeof waiting);
  memset(tunnel->waiting, 0, sizeof tunnel->waiting);
  for (i = 0; i < WG_LWIP_WAITING && waiting[i] != NULL; i++) {
    if (drop) {
      tunnel->counters.displaced++;
      pbuf_free(waiting[i]);
    } else if (seal_and_send(tunnel, waiting[i]) == WG_ERR_NO_SESSION) {
      wait(tunnel, waiting[i]);
    }
  }
}

static err_t output(struct netif *netif, struct pbuf *packet) {
  struct wg_lwip *tunnel = (struct wg_lwip *)netif;
  struct pbuf *copy;
  int result;
  if (packet->tot_len > netif->mtu) {
    tunnel->counters.too_long++;
    return ERR_VAL;
  }
  copy = pbuf_alloc(PBUF_TRANSPORT, (u16_t)(WG_HEADROOM + packet->tot_len + WG_TAILROOM), PBUF_RAM);
  if (copy == NULL) {
    tunnel->counters.no_memory++;
    MIB2_STATS_NETIF_INC(netif, ifoutdiscards);
    return ERR_MEM;
  }
  (void)pbuf_copy_partial(packet, (uint8_t *)copy->payload + WG_HEADROOM, packet->tot_len, 0);
  if (tunnel->defer != NULL) {
    if (tunnel->outbound[WG_LWIP_DEFERRED - 1] != NULL) {
      pbuf_free(copy);
      tunnel->counters.displaced++;
      MIB2_STATS_NETIF_INC(netif, ifoutdiscards);
      return ERR_MEM;
    }
    put(tunnel->outbound, WG_LWIP_DEFERRED, copy);
    tunnel->defer(tunnel->context);
    return ERR_OK;
  }
  result = seal_and_send(tunnel, copy);
  if (result == WG_ERR_NO_SESSION) {
    wait(tunnel, copy);
  }
  wg_lwip_go_on(tunnel, true);
  if (result == WG_OK || result == WG_ERR_NO_SESSION) {
    MIB2_STATS_NETIF_ADD(netif, ifoutoctets, packet->tot_len);
    return ERR_OK;
  }
  MIB2_STATS_NETIF_INC(netif, ifoutdiscards);
  return ERR_RTE;
}

#if LWIP_IPV4
err_t wg_lwip_output4(struct netif *netif, struct pbuf *packet, const ip4_addr_t *next_hop) {
  LWIP_UNUSED_ARG(next_hop);
  return output(netif, packet);
}
#endif

#if LWIP_IPV6
err_t wg_lwip_output6(struct netif *netif, struct pbuf *packet, const ip6_addr_t *next_hop) {
  LWIP_UNUSED_ARG(next_hop);
  return output(netif, packet);
}
#endif

/* Sends bytes that are in no pbuf. */
static void send_bytes(struct wg_lwip *tunnel, const struct wg_transmit *transmit) {
  struct pbuf *datagram = pbuf_alloc(PBUF_TRANSPORT, (u16_t)transmit->length, PBUF_RAM);
  if (datagram == NULL) {
    tunnel->counters.no_memory++;
    return;
  }
  (void)pbuf_take(datagram, transmit->datagram, (u16_t)transmit->length);
  wg_lwip_send(tunnel, datagram, transmit);
  pbuf_free(datagram);
}

/* ---- datagrams in --------------------------------------------------------------------------------- */

/* Whether the bytes may be changed: in one piece, nobody else's, and not in a read-only memory. */
static bool is_writable(const struct pbuf *p) {
  bool is_own = (p->type_internal & PBUF_TYPE_FLAG_STRUCT_DATA_CONTIGUOUS) != 0 ||
                (p->flags & PBUF_FLAG_IS_CUSTOM) != 0;
  return p->next == NULL && p->ref == 1 && is_own;
}

/* Takes the pbuf. */
static void handle(struct wg_lwip *tunnel, struct pbuf *p, const ip_addr_t *from, u16_t port,
                   const struct wg_address *to) {
  struct wg_received received;
  struct wg_endpoint remote;
  int result;
  memset(&remote, 0, sizeof remote);
  wg_lwip_from_lwip(&remote.address, from);
  remote.port = port;
  result = wg_handle_datagram(tunnel->wg, wg_lwip_now(tunnel), &remote, to, (uint8_t *)p->payload, p->len,
                              &received);
  if (result == WG_OK && received.kind == WG_RECEIVED_REPLY) {
    send_bytes(tunnel, &received.reply);
  } else if (result == WG_OK && received.kind == WG_RECEIVED_PACKET) {
    size_t offset = (size_t)(received.packet - (uint8_t *)p->payload);
    /* Both cannot fail: the packet is inside of the pbuf. */
    (void)pbuf_remove_header(p, offset);
    pbuf_realloc(p, (u16_t)received.length);
    MIB2_STATS_NETIF_ADD(&tunnel->netif, ifinoctets, received.length);
    /* In here programs run, and one of them may remove the tunnel. ip_input takes every packet. */
    (void)tunnel->netif.input(p, &tunnel->netif);
    return;
  }
  pbuf_free(p);
}

static void defer_datagram(struct wg_lwip *tunnel, struct pbuf *p, const ip_addr_t *from, u16_t port) {
  /* Anybody can send handshake messages, so they leave half of the room to packets. */
  size_t i, room = pbuf_get_at(p, 0) <= LAST_HANDSHAKE_KIND ? WG_LWIP_DEFERRED / 2 : WG_LWIP_DEFERRED;
  for (i = 0; i < room; i++) {
    struct wg_lwip_deferred *place = &tunnel->deferred[i];
    if (place->packet == NULL) {
      place->packet = p;
      place->from = *from;
      place->port = port;
      wg_lwip_from_lwip(&place->to, ip_current_dest_addr());
      tunnel->defer(tunnel->context);
      return;
    }
  }
  tunnel->counters.displaced++;
  pbuf_free(p);
}

void wg_lwip_receive(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                    u16_t port) {
  struct wg_lwip *tunnel = (struct wg_lwip *)arg;
  struct wg_address to;
  LWIP_UNUSED_ARG(pcb);
  if (p == NULL) {
    return;
  }
  /* A datagram that came out of a tunnel is no tunnel's. */
  if (p->tot_len == 0 || wg_lwip_is_tunnel(ip_current_input_netif())) {
    pbuf_free(p);
    return;
  }
  if (!is_writable(p)) {
    struct pbuf *whole = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
    pbuf_free(p);
    if (whole == NULL) {
      tunnel->counters.no_memory++;
      return;
    }
    p = whole;
  }
  if (tunnel->defer != NULL) {
    defer_datagram(tunnel, p, from, port);
    return;
  }
  wg_lwip_from_lwip(&to, ip_current_dest_addr());
  handle(tunnel, p, from, port, &to);
  /* The packet may have been the one that ended this tunnel. */
  if (wg_lwip_is_added(tunnel)) {
    wg_lwip_go_on(tunnel, true);
  }
}

/* ---- time ----------------------------------------------------------------------------------------- */

void wg_lwip_expired(void *arg) {
  struct wg_lwip *tunnel = (struct wg_lwip *)arg;
  uint64_t at;
  int reason;
  tunnel->is_armed = false;
  /* Each call serves one peer, and moves its deadline. */
  while (wg_poll_timeout(tunnel->wg, &at, &reason) == WG_OK && at <= wg_lwip_now(tunnel) &&
         reason != WG_REASON_RANDOM) {
    (void)wg_handle_timeout(tunnel->wg, wg_lwip_now(tunnel));
  }
#if LWIP_DNS
  wg_lwip_ask(tunnel);
#endif
  wg_lwip_go_on(tunnel, tunnel->defer == NULL);
}

/* Arms the timer for the next deadline. One that is armed for an earlier time stays: it looks again. */
static void arm(struct wg_lwip *tunnel) {
  uint64_t at, wait_us, time = wg_lwip_now(tunnel);
  uint32_t wait_ms = LONGEST_TIMER;
  size_t i;
  if (wg_poll_timeout(tunnel->wg, &at, NULL) != WG_OK) {
    at = WG_NEVER;
  }
  for (i = 0; i < WG_LWIP_NAMES; i++) {
    const struct wg_lwip_name *name = &tunnel->names[i];
    if (name->host != NULL && name->ask_at < at) {
      at = name->ask_at;
    }
  }
  if (at == WG_NEVER || (tunnel->is_armed && tunnel->armed_for <= at)) {
    return;
  }
  wait_us = at > time ? at - time : 0;
  if (wait_us / 1000 < LONGEST_TIMER) {
    /* Never 0, which lwIP would serve at once, again and again. */
    wait_ms = (uint32_t)(wait_us / 1000) + 1;
  }
  if (tunnel->is_armed) {
    sys_untimeout(wg_lwip_expired, tunnel);
  }
  tunnel->is_armed = true;
  tunnel->armed_for = at;
  sys_timeout(wait_ms, wg_lwip_expired, tunnel);
}

void wg_lwip_go_on(struct wg_lwip *tunnel, bool may_work) {
  uint8_t buffer[WG_TRANSMIT_LEN];
  struct wg_transmit transmit;
  struct wg_event event;
  bool is_done = false;
  if (tunnel->is_busy) {
    return; /* The one that is under way goes on until there is nothing left. */
  }
  tunnel->is_busy = true;
  while (may_work && !is_done) {
    is_done = true;
    while (wg_poll_event(tunnel->wg, &event) == WG_OK) {
      is_done = false;
      if (event.kind == WG_EVENT_SESSION_UP) {
        wg_lwip_flush(tunnel, false);
      } else if (event.kind == WG_EVENT_HANDSHAKE_GIVEN_UP) {
        wg_lwip_flush(tunnel, true);
      }
      if (tunnel->is_always_up && (event.kind == WG_EVENT_SESSION_EXPIRED ||
                                   event.kind == WG_EVENT_HANDSHAKE_GIVEN_UP)) {
        (void)wg_connect(tunnel->wg, wg_lwip_now(tunnel), event.peer);
      }
    }
    while (wg_poll_transmit(tunnel->wg, wg_lwip_now(tunnel), buffer, &transmit) == WG_OK) {
      is_done = false;
      send_bytes(tunnel, &transmit);
    }
  }
  if (!may_work) {
    tunnel->defer(tunnel->context);
  }
  tunnel->is_busy = false;
  wg_lwip_keep_default(tunnel);
  arm(tunnel);
}

int wg_lwip_drive(struct wg_lwip *tunnel) {
  LWIP_ASSERT_CORE_LOCKED();
  if (!wg_lwip_is_added(tunnel)) {
    return WG_LWIP_ERR_NOT_ADDED;
  }
  wg_lwip_go_on(tunnel, tunnel->defer == NULL);
  return WG_OK;
}

int wg_lwip_work(struct wg_lwip *tunnel) {
  struct pbuf *packet;
  LWIP_ASSERT_CORE_LOCKED();
  if (!wg_lwip_is_added(tunnel)) {
    return WG_LWIP_ERR_NOT_ADDED;
  }
  while (tunnel->deferred[0].packet != NULL) {
    struct wg_lwip_deferred first = tunnel->deferred[0];
    memmove(tunnel->deferred, tunnel->deferred + 1, (WG_LWIP_DEFERRED - 1) * sizeof first);
    memset(&tunnel->deferred[WG_LWIP_DEFERRED - 1], 0, sizeof first);
    handle(tunnel, first.packet, &first.from, first.port, &first.to);
    if (!wg_lwip_is_added(tunnel)) {
      return WG_OK; /* The packet was the one that ended this tunnel. */
    }
    wg_lwip_go_on(tunnel, true);
  }
  while ((packet = take(tunnel->outbound, WG_LWIP_DEFERRED)) != NULL) {
    if (seal_and_send(tunnel, packet) == WG_ERR_NO_SESSION) {
      wait(tunnel, packet);
    }
  }
  if (tunnel->has_answer) {
    tunnel->has_answer = false;
    wg_lwip_flush(tunnel, false);
  }
  wg_lwip_go_on(tunnel, true);
  return WG_OK;
}
