#include "world.h"

#ifndef WG_NO_SYS
#include <sched.h>

#include "lwip/sys.h"
#include "lwip/tcpip.h"
#endif
#ifdef WG_TEST_ESP
#include "stand_ins.h"
#endif

uint64_t time_us = 1000000;
struct netif wifi;
int wifi_shape;
bool memory_is_out, defers, talk_deferred;
unsigned deferred;
struct wg_lwip tunnel;
struct wg_lwip_config config;
wg_peer peer;

static unsigned deferred_done;
static struct board board = {.seed = 1}, gateways_board = {.seed = 2};
static struct wg_port port, gateways_port;
WG_STORAGE(storage, 2, 4);
WG_STORAGE(gateways_storage, 2, 4);
static uint8_t boards_key[WG_KEY_LEN], gateways_public[WG_KEY_LEN];
static wg_peer known;

/* ---- time and memory ------------------------------------------------------------------------------ */

u32_t sys_now(void) { return (u32_t)(time_us / 1000); }

static uint64_t now(void *context) {
  CHECK(context == &board);
  return time_us;
}

static void defer(void *context) {
  CHECK(context == &board);
  deferred++;
}

void *test_malloc(size_t size) { return memory_is_out ? NULL : malloc(size); }
void *test_calloc(size_t count, size_t size) { return memory_is_out ? NULL : calloc(count, size); }

void lock(void) {
#ifndef WG_NO_SYS
  LOCK_TCPIP_CORE();
#endif
}

void unlock(void) {
#ifndef WG_NO_SYS
  UNLOCK_TCPIP_CORE();
#ifdef WG_TEST_ESP
  settle();
#endif
  sched_yield();
#endif
}

/* ---- frames --------------------------------------------------------------------------------------- */

/* What the board sent and nobody looked at yet. */
static struct frame frames[64];
static size_t frame_count;

static err_t wifi_output(struct netif *netif, struct pbuf *p) {
  CHECK(netif == &wifi && p->tot_len <= wifi.mtu);
  if (frame_count < sizeof frames / sizeof frames[0]) {
    struct frame *frame = &frames[frame_count++];
    frame->length = pbuf_copy_partial(p, frame->bytes, sizeof frame->bytes, 0);
  }
  return ERR_OK;
}

static err_t wifi_output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *hop) {
  (void)hop;
  return wifi_output(netif, p);
}

static err_t wifi_output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *hop) {
  (void)hop;
  return wifi_output(netif, p);
}

/* Gives the board a frame, as drivers of all kinds do. */
void to_board(const uint8_t *bytes, size_t length) {
  static uint8_t fixed[1600];
  struct pbuf *p = NULL, *held = NULL;
  memcpy(fixed, bytes, length);
  switch (wifi_shape) {
  case 1: /* a chain; headers are in its first piece */
    p = pbuf_alloc(PBUF_RAW, 80, PBUF_RAM);
    for (size_t from = 80; p != NULL && from < length; from += 100) {
      size_t piece = length - from < 100 ? length - from : 100;
      struct pbuf *next = pbuf_alloc(PBUF_RAW, (u16_t)piece, PBUF_RAM);
      CHECK(next != NULL);
      pbuf_cat(p, next);
    }
    break;
  case 2:
    p = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_POOL);
    break;
  case 3: /* memory that the driver owns */
    p = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_ROM);
    break;
  default:
    p = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM);
  }
  if (p == NULL) {
    return;
  }
  if (wifi_shape == 3) {
    p->payload = fixed;
  } else {
    CHECK(length < 80 || pbuf_take(p, bytes, (u16_t)length) == ERR_OK);
    CHECK(length >= 80 || pbuf_take(p, bytes, (u16_t)length) == ERR_OK);
  }
  if (wifi_shape == 4) { /* somebody else looks at it, too */
    held = p;
    pbuf_ref(held);
  }
  CHECK(wifi.input(p, &wifi) == ERR_OK);
  CHECK(memcmp(fixed, bytes, length) == 0);
  if (held != NULL) {
    size_t headers = length - held->tot_len; /* which lwIP took off */
    CHECK(pbuf_memcmp(held, 0, bytes + headers, held->tot_len) == 0);
    pbuf_free(held);
  }
}

/* ---- what happens --------------------------------------------------------------------------------- */

void run(uint64_t ms) {
  uint64_t until = time_us + ms * 1000;
  for (;;) {
    unlock();
    lock();
    sys_check_timeouts();
    if (talk_deferred && tunnel.wg != NULL && deferred != deferred_done) {
      deferred_done = deferred;
      OK(wg_lwip_work(&tunnel));
    }
    while (frame_count > 0) {
      struct frame frame = frames[0];
      memmove(frames, frames + 1, --frame_count * sizeof frame);
      frame_arrives(&frame);
    }
    gateway_drive();
    if (time_us >= until) {
      return;
    }
    uint64_t step = (uint64_t)sys_timeouts_sleeptime() * 1000, at;
    if (wg_poll_timeout(gateway.wg, &at, NULL) == WG_OK && at < time_us + step) {
      step = at > time_us ? at - time_us : 0;
    }
    if (step < 1000) {
      step = 1000;
    }
    time_us = time_us + step < until ? time_us + step : until;
  }
}

static err_t wifi_init(struct netif *netif) {
  netif->name[0] = 's';
  netif->name[1] = 't';
  netif->num = 0;
  netif->mtu = 1500;
  netif->output = wifi_output4;
  netif->output_ip6 = wifi_output6;
  return ERR_OK;
}

void wifi_on(bool is_default) {
  ip4_addr_t address, mask, router;
  ip6_addr_t address6;
  s8_t index;
  CHECK(ip4addr_aton("192.168.4.2", &address) && ip4addr_aton("255.255.255.0", &mask));
  CHECK(ip4addr_aton("192.168.4.1", &router) && ip6addr_aton("2001:db8:1::2", &address6));
  memset(&wifi, 0, sizeof wifi);
  CHECK(netif_add(&wifi, &address, &mask, &router, NULL, wifi_init, ip_input) != NULL);
  wifi.num = 0;
  netif_set_up(&wifi);
  netif_set_link_up(&wifi);
  CHECK(netif_add_ip6_address(&wifi, &address6, &index) == ERR_OK);
  netif_ip6_addr_set_state(&wifi, index, IP6_ADDR_PREFERRED);
  if (is_default) {
    netif_set_default(&wifi);
  }
}

void wifi_off(void) { netif_remove(&wifi); }

#ifndef WG_NO_SYS
static void is_ready(void *arg) { sys_sem_signal((sys_sem_t *)arg); }
#endif

void begin(void) {
#ifdef WG_NO_SYS
  lwip_init();
#else
  sys_sem_t ready;
  CHECK(sys_sem_new(&ready, 0) == ERR_OK);
  tcpip_init(is_ready, &ready);
  (void)sys_arch_sem_wait(&ready, 0);
  sys_sem_free(&ready);
#endif
  lock();
  wifi_on(true);
  ip_addr_t server;
  CHECK(ipaddr_aton("192.168.4.1", &server));
  dns_setserver(0, &server);
  gateways_board.unix_seconds = 1800000000;
  port = board_port(&board);
  gateways_port = board_port(&gateways_board);
  OK(wg_init(&gateway.wg, &gateways_storage, sizeof gateways_storage, 2, 4, &gateways_port));
  uint8_t key[WG_KEY_LEN];
  OK(wg_generate_private_key(gateway.wg, key));
  OK(wg_set_private_key(gateway.wg, time_us, key));
  OK(wg_public_key(gateways_public, key));
  OK(wg_generate_private_key(gateway.wg, boards_key));
  OK(wg_public_key(key, boards_key));
  OK(wg_add_peer(gateway.wg, key, &known));
  OK(wg_add_allowed_ip_text(gateway.wg, known, "10.0.0.2"));
  OK(wg_add_allowed_ip_text(gateway.wg, known, "fd00::2"));
}

static const char *key_text(const uint8_t *key, char text[WG_KEY_TEXT_LEN]) {
  OK(wg_key_to_base64(text, key));
  return text;
}

const char *boards_key_text(void) {
  static char text[WG_KEY_TEXT_LEN];
  return key_text(boards_key, text);
}

const char *gateways_key_text(void) {
  static char text[WG_KEY_TEXT_LEN];
  return key_text(gateways_public, text);
}

void end(void) {
  OK(wg_wipe(gateway.wg));
  wifi_off();
  unlock();
}

int add(const char *address, const char *underlay) {
  config.storage = &storage;
  config.storage_size = sizeof storage;
  config.peers = 2;
  config.routes = 4;
  config.port = &port;
  config.now = now;
  config.defer = defers ? defer : NULL;
  OK(wg_parse_address(&config.addresses[0], address));
  config.prefix_lens[0] = 24;
  OK(wg_parse_address(&config.addresses[1], "fd00::2"));
  config.prefix_lens[1] = 64;
  memset(config.underlay, 0, sizeof config.underlay);
  if (underlay != NULL) {
    memcpy(config.underlay, underlay, strlen(underlay) < NETIF_NAMESIZE ? strlen(underlay) : NETIF_NAMESIZE);
  }
  return wg_lwip_add(&tunnel, &config);
}

void start_on(const char *host, uint16_t at, const char *underlay) {
  struct wg *wg = gateway.wg;
  memset(&gateway, 0, sizeof gateway);
  gateway.wg = wg;
  memset(&storage, 0x5a, sizeof storage);
  OK(add("10.0.0.2", underlay));
  OK(wg_set_private_key(tunnel.wg, time_us, boards_key));
  OK(wg_add_peer(tunnel.wg, gateways_public, &peer));
  OK(wg_add_allowed_ip_text(tunnel.wg, peer, "0.0.0.0/0"));
  OK(wg_add_allowed_ip_text(tunnel.wg, peer, "::/0"));
  if (host != NULL) {
    OK(wg_lwip_set_endpoint(&tunnel, peer, host, at));
  }
}

void start(const char *host, uint16_t at) { start_on(host, at, NULL); }

void stop(void) {
  OK(wg_lwip_remove(&tunnel));
  for (size_t i = 0; i < wg_storage_size(2, 4); i++) {
    CHECK(storage.bytes[i] == 0);
  }
  CHECK(tunnel.wg == NULL && !tunnel.is_armed);
  frame_count = 0;
  run(25); /* a new initiation may come 20 ms after the last */
  CHECK(netif_list == &wifi || netif_list->next == &wifi || wifi.next == NULL);
}

/* ---- TCP ------------------------------------------------------------------------------------------ */

static err_t reset_error, ended_error;

static void on_error(void *arg, err_t error) { *(err_t *)arg = error; }

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t error) {
  (void)arg, (void)pcb, (void)error;
  return ERR_OK;
}

int tcp_request(const char *text) {
  ip_addr_t address;
  struct tcp_pcb *refused = tcp_new(), *silent = tcp_new();
  CHECK(refused != NULL && silent != NULL && ipaddr_aton(text, &address));
  tcp_arg(refused, &reset_error);
  tcp_err(refused, on_error);
  CHECK(tcp_connect(refused, &address, 80, on_connected) == ERR_OK);
  run(20000);
  CHECK(reset_error == ERR_RST);
  tcp_arg(silent, &ended_error);
  tcp_err(silent, on_error);
  CHECK(tcp_connect(silent, &address, 81, on_connected) == ERR_OK);
  run(100);
  CHECK(ended_error == 0);
  CHECK(wg_lwip_remove(&tunnel) == WG_OK);
  CHECK(ended_error == ERR_ABRT);
  start("192.0.2.9", 51820);
  return 1;
}
