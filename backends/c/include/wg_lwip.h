/* A WireGuard tunnel as a network interface of lwIP 2.1 or later, over its raw API.
 *
 *     static struct wg_lwip tunnel;                       // all zero
 *     WG_STORAGE(storage, 1, 2);                          // one peer, two allowed IPs
 *     struct wg_lwip_config config = {0};
 *     config.storage = &storage, config.storage_size = sizeof storage;
 *     config.peers = 1, config.routes = 2;
 *     config.port = &port, config.now = now;              // see wg.h; microseconds
 *     wg_parse_address(&config.addresses[0], "10.0.0.2"), config.prefix_lens[0] = 24;
 *     wg_lwip_add(&tunnel, &config);
 *     wg_set_private_key_base64(tunnel.wg, now(NULL), my_private_key);
 *     wg_add_peer_base64(tunnel.wg, gateways_public_key, &peer);
 *     wg_add_allowed_ip_text(tunnel.wg, peer, "0.0.0.0/0");
 *     wg_lwip_set_endpoint(&tunnel, peer, "vpn.example.org", 51820);
 *     wg_lwip_set_default(&tunnel);
 *
 * Everything here is called where lwIP's raw API may be: in the tcpip thread, or with the core locked
 * (LOCK_TCPIP_CORE), or in the main loop with NO_SYS=1. So are the functions of wg.h for the engine
 * `tunnel.wg`, after which wg_lwip_drive is to be called.
 *
 * There is no thread, no tick and no memory but the caller's and pbufs: sys_timeout is armed for the
 * engine's next deadline alone. Packets are copied once on their way out, since TCP keeps its own to
 * send them again, and not at all on their way in, where the underlay's driver gave a pbuf in one piece
 * that may be written.
 *
 * lwIP has to have UDP and timers, and DNS for endpoints by name. */
#ifndef WG_LWIP_H
#define WG_LWIP_H

#include <stdbool.h>

#include "lwip/netif.h"
#include "lwip/udp.h"
#include "wg.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Packets that wait for a session, over all peers. The oldest makes room. */
#ifndef WG_LWIP_WAITING
#define WG_LWIP_WAITING 4
#endif
/* Packets that wait for wg_lwip_work, each way. */
#ifndef WG_LWIP_DEFERRED
#define WG_LWIP_DEFERRED 8
#endif
/* Peers whose endpoint is a name. */
#ifndef WG_LWIP_NAMES
#define WG_LWIP_NAMES 2
#endif
#define WG_LWIP_ADDRESSES 3

/* A name is asked for again after so many microseconds at the earliest. */
#define WG_LWIP_NAME_PAUSE 10000000u

struct wg_lwip_config {
  /* As of wg_init. All of it is used until wg_lwip_remove, but for `port` itself. */
  void *storage;
  size_t storage_size;
  size_t peers;
  size_t routes;
  const struct wg_port *port;
  /* Microseconds since any origin; never steps back, counts sleep. Gets port->context. */
  uint64_t (*now)(void *context);
  /* Where lwIP's thread has less than 6 KB of stack: called, with the core locked, when there is
   * something to encrypt, decrypt or agree on, to wake a task that has them; that one locks the core
   * and calls wg_lwip_work. NULL: it is done where it comes up. Gets port->context. */
  void (*defer)(void *context);
  /* Keep a session with each peer whose endpoint is known, also while there is nothing to send, and go
   * on asking for one. Otherwise a session is made when there is something to send. */
  bool is_always_up;
  /* Our addresses in the tunnel: at most one of IPv4, and as many of IPv6 as lwIP has room for. */
  struct wg_address addresses[WG_LWIP_ADDRESSES];
  uint8_t prefix_lens[WG_LWIP_ADDRESSES];
  /* Where to listen; 0 for any free port. */
  uint16_t listen_port;
  /* The largest packet in the tunnel; 0 for 1420. */
  uint16_t mtu;
  /* The interface that carries the tunnel, by its name, such as "st1"; empty to follow the routes that
   * there are beside the tunnel, whichever interface is up. */
  char underlay[NETIF_NAMESIZE];
};

struct wg_lwip_name {
  const char *host;
  wg_peer peer;
  uint64_t ask_at;     /* the next question, or WG_NEVER */
  uint64_t not_before; /* no question before that */
  uint16_t port;
  bool wants_v6;
  bool is_asked;
};

struct wg_lwip_deferred {
  struct pbuf *packet;
  ip_addr_t from;
  struct wg_address to;
  u16_t port;
};

/* What was dropped, beside what wg_count tells. */
struct wg_lwip_counters {
  uint32_t no_memory;   /* no pbuf, or lwIP did not take a packet */
  uint32_t no_underlay; /* no interface to send a datagram by */
  uint32_t too_long;
  uint32_t displaced;   /* waited for a session or for wg_lwip_work, and were too many, or in vain */
};

/* A tunnel. All zero before wg_lwip_add and after wg_lwip_remove; it must not move in between.
 * Programs read `netif`, `wg` and `counters`, and leave the rest alone. */
struct wg_lwip {
  struct netif netif;
  struct wg *wg;
  struct wg_lwip_counters counters;
  /* The rest is not for programs. */
  struct udp_pcb *pcb;
  struct wg_lwip *next;
  struct netif *former_default;
  uint64_t (*now)(void *context);
  void (*defer)(void *context);
  void *context;
  uint64_t armed_for;
  struct wg_lwip_name names[WG_LWIP_NAMES];
  struct pbuf *waiting[WG_LWIP_WAITING];
  struct wg_lwip_deferred deferred[WG_LWIP_DEFERRED];
  struct pbuf *outbound[WG_LWIP_DEFERRED];
  char underlay[NETIF_NAMESIZE];
  bool is_armed;
  bool is_always_up;
  bool is_default;
  bool is_busy;
  bool has_answer;
};

enum wg_lwip_result {
  WG_LWIP_ERR_ADDED = -50,         /* The tunnel is added already. */
  WG_LWIP_ERR_NOT_ADDED = -51,     /* The tunnel is not added. */
  WG_LWIP_ERR_MEMORY = -52,        /* lwIP has no memory for an interface or a UDP pcb. */
  WG_LWIP_ERR_PORT_IN_USE = -53,   /* Something listens on the port already. */
  WG_LWIP_ERR_ADDRESS_IN_USE = -54, /* An interface has one of the addresses. */
  WG_LWIP_ERR_ADDRESSES = -55,     /* No address, several of IPv4, or more of IPv6 than lwIP takes. */
  WG_LWIP_ERR_NAME = -56,          /* No host name or address, or LWIP_DNS is off. */
  WG_LWIP_ERR_NAMES_FULL = -57     /* More names than WG_LWIP_NAMES. */
};

/* As wg_strerror, for these codes, too. */
const char *wg_lwip_strerror(int result);

/* Adds the interface, up, with an engine in `config->storage` that has no key and no peers yet.
 * Nothing is changed after an error: those above, those of wg_init, WG_ERR_NULL. */
int wg_lwip_add(struct wg_lwip *tunnel, const struct wg_lwip_config *config);

/* Removes the interface, wipes every key, drops what waits, and gives the default route back.
 * WG_LWIP_ERR_NOT_ADDED. */
int wg_lwip_remove(struct wg_lwip *tunnel);

/* Where a peer is: an address, or a name that is asked for now and again while handshakes go
 * unanswered, IPv4 and IPv6 in turns. `host` is used until it is replaced or the tunnel removed.
 * WG_LWIP_ERR_NAME, WG_LWIP_ERR_NAMES_FULL, WG_ERR_ENDPOINT, WG_ERR_NO_PEER. */
int wg_lwip_set_endpoint(struct wg_lwip *tunnel, wg_peer peer, const char *host, uint16_t port);

/* Makes the tunnel lwIP's default interface, or gives the default route back to the one that had it,
 * or to another that is up where that is gone. Each may be called twice. The tunnel's own datagrams
 * go by the underlay either way. WG_LWIP_ERR_NOT_ADDED. */
int wg_lwip_set_default(struct wg_lwip *tunnel);
int wg_lwip_restore_default(struct wg_lwip *tunnel);

/* Sends and arms what the engine wants. After each call of wg.h for `tunnel->wg`. */
int wg_lwip_drive(struct wg_lwip *tunnel);

/* Does what `defer` was called for. */
int wg_lwip_work(struct wg_lwip *tunnel);

#ifdef __cplusplus
}
#endif

#endif
