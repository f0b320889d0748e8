/* A tunnel as a firmware has it that was written for the C port: set up by keys, not by a text, and asked
 * whether it is up, not why it is not. In place of the boards' own, for `cargo xtask size`. */
#include "tunnel.h"

#include "wg_lwip.h"

#include "board.h"
#include "flash.h"

WG_STORAGE(storage, 1, 2);
static struct wg_lwip tunnel;

static uint64_t now(void *context) {
  (void)context;
  return board_micros();
}

static int random_bytes(void *context, uint8_t *bytes, size_t length) {
  (void)context;
  board_random(bytes, length);
  return 0;
}

static const struct wg_port port = {NULL, random_bytes, NULL, flash_load, flash_save};
static wg_peer peer;

/* What a settings page would bring. */
const char *volatile private_key, *volatile public_key, *volatile endpoint;

int tunnel_start(void) {
  static struct wg_lwip_config config;
  config.storage = &storage;
  config.storage_size = sizeof storage;
  config.peers = 1;
  config.routes = 2;
  config.port = &port;
  config.now = now;
  config.addresses[0] = (struct wg_address){{10, 9, 0, 2}, 4};
  config.prefix_lens[0] = 24;
  if (wg_lwip_add(&tunnel, &config) != WG_OK) {
    return 0;
  }
  if (wg_set_private_key_base64(tunnel.wg, now(NULL), private_key) != WG_OK ||
      wg_add_peer_base64(tunnel.wg, public_key, &peer) != WG_OK ||
      wg_add_allowed_ip(tunnel.wg, peer, &(struct wg_address){{0}, 4}, 0) != WG_OK ||
      wg_lwip_set_endpoint(&tunnel, peer, endpoint, 51820) != WG_OK ||
      wg_set_keepalive(tunnel.wg, now(NULL), peer, 25) != WG_OK ||
      wg_lwip_set_default(&tunnel) != WG_OK) {
    (void)wg_lwip_remove(&tunnel);
    return 0;
  }
  (void)wg_lwip_drive(&tunnel);
  return 1;
}

void tunnel_watch(void) {}

void tunnel_report(void) {
  struct wg_status status;
  if (wg_get_status(tunnel.wg, now(NULL), peer, &status) == WG_OK && status.connection != WG_OK) {
    (void)wg_connect(tunnel.wg, now(NULL), peer);
    (void)wg_lwip_drive(&tunnel);
  }
}
