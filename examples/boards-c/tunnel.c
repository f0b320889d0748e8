#include "tunnel.h"

#include "wg_lwip.h"

#include "board.h"
#include "console.h"
#include "flash.h"
#include "stack.h"

#define PEERS 1
#define ROUTES 4
WG_STORAGE(storage, PEERS, ROUTES);
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

/* The board never knows the time of day; its timestamps rise over every reboot all the same. */
static const struct wg_port port = {NULL, random_bytes, NULL, flash_load, flash_save};

static int failed(const char *what, int result) {
  print_text("no tunnel: "), print_text(what), print_text(": ");
  print_text(wg_lwip_strerror(result)), print_text("\n");
  return 0;
}

int tunnel_start(void) {
  static struct wg_config said;
  static struct wg_lwip_config config;
  size_t length = 0, i;
  const char *text = flash_text(&length);
  int result = wg_read_config(text, length, &said);
  if (result != WG_OK) {
    return failed("the configuration in the flash", result);
  }
  config.storage = &storage;
  config.storage_size = sizeof storage;
  config.peers = PEERS;
  config.routes = ROUTES;
  config.port = &port;
  config.now = now;
  for (i = 0; i < WG_LWIP_ADDRESSES; i++) {
    config.addresses[i] = said.addresses[i];
    config.prefix_lens[i] = said.prefix_lens[i];
  }
  config.listen_port = said.listen_port;
  config.mtu = said.mtu;
  result = wg_lwip_add(&tunnel, &config);
  if (result != WG_OK) {
    return failed("the interface", result);
  }
  result = wg_configure(tunnel.wg, now(NULL), text, length, &said);
  if (result != WG_OK) {
    return failed(said.sentence, result);
  }
  (void)wg_lwip_drive(&tunnel);
  return 1;
}

static int get_status(struct wg_status *status) {
  wg_peer peer = WG_NO_PEER;
  return wg_next_peer(tunnel.wg, &peer) == WG_OK &&
         wg_get_status(tunnel.wg, now(NULL), peer, status) == WG_OK;
}

void tunnel_watch(void) {
  static uint64_t known = WG_NEVER;
  struct wg_status status;
  if (get_status(&status) && status.session_birth != known) {
    known = status.session_birth;
    print_text(known == WG_NEVER ? "session expired\n" : "session up\n");
  }
}

static void print_count(const char *name, uint32_t count) {
  print_text(", "), print_text(name), print_text(" "), print_number(count);
}

void tunnel_report(void) {
  struct wg_status status;
  int refusal;
  print_text("status: stack "), print_number(stack_used()), print_text(" of "), print_number(stack_size());
  if (get_status(&status)) {
    print_count("in", (uint32_t)status.received_bytes);
    print_count("out", (uint32_t)status.sent_bytes);
    if (status.endpoint.address.family == 4) {
      const uint8_t *bytes = status.endpoint.address.bytes;
      print_text(", at "), print_number(bytes[0]), print_text("."), print_number(bytes[1]);
      print_text("."), print_number(bytes[2]), print_text("."), print_number(bytes[3]);
      print_text(":"), print_number(status.endpoint.port);
    }
  }
  for (refusal = WG_REFUSED_MALFORMED; refusal >= WG_REFUSED_CONGESTION_LOST; refusal--) {
    uint32_t count = wg_count(tunnel.wg, WG_NO_PEER, refusal);
    if (count != 0) {
      print_count(wg_name(refusal), count);
    }
  }
  print_count("frames", card_counters.frames);
  print_count("overrun", card_counters.no_memory + tunnel.counters.no_memory);
  print_count("displaced", tunnel.counters.displaced);
  print_count("unsent", card_counters.unsent + tunnel.counters.no_underlay);
  print_text("\n");
}
