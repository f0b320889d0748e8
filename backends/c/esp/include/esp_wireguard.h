/* The interface of the esp_wireguard components, with their names and types, over this library.
 *
 * Every function may be called in any order, twice, from any task, with lwIP's core locked by the
 * caller or not. None waits for the network: `connect` works before Wi-Fi, before the name of the
 * endpoint is resolved, and before the clock is set. After a lost network there is nothing to call: the
 * tunnel follows whichever interface is up. What stands in the way is esp_wireguard_why(). */
#ifndef ESP_WIREGUARD_H
#define ESP_WIREGUARD_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "esp_err.h"
#include "esp_wireguard_err.h"
#include "lwip/ip_addr.h"
#include "lwip/netif.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The settings of a tunnel with one peer. It and the texts in it are used until the tunnel is
 * disconnected. */
typedef struct {
  const char *private_key;       /* base64, ours */
  uint16_t listen_port;          /* 0 for any */
  uint32_t fw_mark;              /* not used */
  const char *public_key;        /* base64, the peer's */
  const char *preshared_key;     /* base64; NULL or empty for none */
  const char *address;           /* ours in the tunnel, IPv4 or IPv6 */
  const char *netmask;           /* "255.255.255.0"; NULL for the address alone */
  const char *endpoint;          /* the peer's address or name */
  ip_addr_t endpoint_ip;         /* not used */
  uint16_t port;                 /* the peer's */
  uint16_t persistent_keepalive; /* seconds; 0 for none */
} wireguard_config_t;

#define ESP_WIREGUARD_CONFIG_DEFAULT()                                                       \
  {                                                                                          \
    NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, IPADDR_ANY_TYPE_INIT, 51820, 0                 \
  }
#ifndef IPADDR_ANY_TYPE_INIT
#define IPADDR_ANY_TYPE_INIT IPADDR4_INIT(0)
#endif

/* A tunnel. `netif` is its interface while it is connected, else NULL. */
typedef struct {
  wireguard_config_t *config;
  struct netif *netif;
  struct netif *netif_default; /* lwIP's default interface when it was connected */
} wireguard_ctx_t;

#define ESP_WIREGUARD_CONTEXT_DEFAULT()                                                      \
  {                                                                                          \
    NULL, NULL, NULL                                                                         \
  }

/* Checks the settings and keeps them for `connect`. A tunnel that `ctx` has already is disconnected.
 * ESP_ERR_INVALID_ARG, with a line in the log that says which setting is wrong and why. */
esp_err_t esp_wireguard_init(wireguard_config_t *config, wireguard_ctx_t *ctx);

/* Makes the interface and asks for a session. Called again, it asks again.
 * ESP_ERR_INVALID_ARG: not initialised, or a wrong setting. ESP_ERR_NO_MEM: no room for another tunnel
 * (CONFIG_WIREGUARD_MAX_TUNNELS), or in lwIP. ESP_FAIL: the address or the port is in use. */
esp_err_t esp_wireguard_connect(wireguard_ctx_t *ctx);

/* Removes the interface and wipes the keys. ESP_ERR_INVALID_ARG for NULL; else ESP_OK, also when there
 * was no tunnel. */
esp_err_t esp_wireguard_disconnect(wireguard_ctx_t *ctx);

/* All traffic through the tunnel, but its own datagrams; and as it was before.
 * ESP_ERR_INVALID_ARG for NULL, ESP_ERR_INVALID_STATE when it is not connected. */
esp_err_t esp_wireguard_set_default(wireguard_ctx_t *ctx);
esp_err_t esp_wireguard_restore_default(const wireguard_ctx_t *ctx);

/* ESP_OK while there is a session, ESP_FAIL while there is none. ESP_ERR_INVALID_ARG for NULL. */
esp_err_t esp_wireguard_peer_is_up(const wireguard_ctx_t *ctx);
#define esp_wireguardif_peer_is_up(ctx) esp_wireguard_peer_is_up(ctx)

/* When the last handshake was, in seconds since 1970. ESP_FAIL: there was none.
 * ESP_ERR_INVALID_STATE: not connected, or the time of day is not known. ESP_ERR_INVALID_ARG for NULL. */
esp_err_t esp_wireguard_latest_handshake(const wireguard_ctx_t *ctx, time_t *result);

/* Lets packets from and to these addresses pass; the tunnel's own network may pass from the beginning.
 * ESP_ERR_INVALID_ARG: no address, or a mask with holes. ESP_ERR_INVALID_STATE: not connected.
 * ESP_FAIL: no room for another one (CONFIG_WIREGUARD_MAX_ALLOWED_IPS). */
esp_err_t esp_wireguard_add_allowed_ip(const wireguard_ctx_t *ctx, const char *allowed_ip,
                                       const char *allowed_ip_mask);

/* ---- what the components before did not have ---- */

/* Why there is no session, in one sentence; "connected" when there is one. Never NULL. */
const char *esp_wireguard_why(const wireguard_ctx_t *ctx);

/* As init and connect, from the text of a wg-quick file with one peer, which may be forgotten after the
 * call. `ctx` may be all NULL, and its `config` stays NULL. The log says what is wrong, with line and
 * column. Errors as of connect. */
esp_err_t esp_wireguard_connect_text(wireguard_ctx_t *ctx, const char *text, size_t length);

#ifdef __cplusplus
}
#endif

#endif
