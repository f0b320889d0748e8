/* The interface of lwIP as one end of the tunnels of `cargo xtask interop`, with time, randomness and
 * wall clock of this machine. It is asked on standard input, and answers on standard output.
 *
 *     main SECONDS_BEHIND [RECORD_FILE]
 *
 * Questions and answers are a byte for the kind, two for the length, and what it is about. Any number of
 * answers ends with ANSWER_DONE. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "lwip/init.h"
#include "lwip/timeouts.h"
#include "wg_lwip.h"

enum question {
  ASK_ADDRESS = 'a',   /* text: our address on the wire, in place of the one of its family */
  ASK_CONFIGURE = 'c', /* a wg-quick text: starts the tunnel */
  ASK_FRAME = 'f',     /* a frame that came by the wire */
  ASK_PACKET = 'p',    /* a packet for the tunnel */
  ASK_TIME = 't',      /* nothing: whatever is due */
  ASK_ENDPOINT = 'e',  /* text: where the peer is, "10.0.0.1 51820" */
  ASK_KEEPALIVE = 'k', /* text: seconds */
  ASK_STATUS = 's'     /* nothing */
};
enum answer { ANSWER_FRAME = 'F', ANSWER_PACKET = 'P', ANSWER_STATUS = 'S', ANSWER_DONE = '.' };

#define LONGEST 65535
#define ETHERNET_HEADER 14
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd

static struct netif wire;
static struct wg_lwip tunnel;
static wg_peer peer = WG_NO_PEER;
WG_STORAGE(storage, 1, 4);
static uint64_t seconds_behind;
static const char *record_file;

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static void expect_ok(int result, const char *what) {
  if (result != WG_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, wg_name(result), wg_lwip_strerror(result));
    exit(1);
  }
}

/* ---- what lwIP and the engine ask of a board ---- */

void *test_malloc(size_t size) { return malloc(size); }
void *test_calloc(size_t count, size_t size) { return calloc(count, size); }

static uint64_t now(void *context) {
  struct timespec time;
  (void)context;
  (void)clock_gettime(CLOCK_BOOTTIME, &time);
  return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

u32_t sys_now(void) { return (u32_t)(now(NULL) / 1000); }

static int random_bytes(void *context, uint8_t *bytes, size_t length) {
  (void)context;
  return getrandom(bytes, length, 0) == (ssize_t)length ? 0 : -1;
}

static int unix_time(void *context, uint64_t *seconds, uint32_t *nanoseconds) {
  struct timespec time;
  (void)context;
  (void)clock_gettime(CLOCK_REALTIME, &time);
  *seconds = (uint64_t)time.tv_sec - seconds_behind;
  *nanoseconds = (uint32_t)time.tv_nsec;
  return 0;
}

static int load(void *context, uint8_t record[WG_RECORD_LEN]) {
  FILE *file = fopen(record_file, "rb");
  size_t read;
  (void)context;
  if (file == NULL) {
    return errno == ENOENT ? WG_NONE : -1;
  }
  read = fread(record, 1, WG_RECORD_LEN, file);
  (void)fclose(file);
  return read == WG_RECORD_LEN ? 0 : -1;
}

static int save(void *context, const uint8_t record[WG_RECORD_LEN]) {
  FILE *file = fopen(record_file, "wb");
  size_t written;
  (void)context;
  if (file == NULL) {
    return -1;
  }
  written = fwrite(record, 1, WG_RECORD_LEN, file);
  return fclose(file) == 0 && written == WG_RECORD_LEN ? 0 : -1;
}

/* ---- answers ---- */

static void answer(enum answer kind, const void *bytes, size_t length) {
  uint8_t head[3];
  head[0] = (uint8_t)kind;
  head[1] = (uint8_t)length;
  head[2] = (uint8_t)(length >> 8);
  if (fwrite(head, 1, sizeof head, stdout) != sizeof head ||
      fwrite(bytes, 1, length, stdout) != length) {
    fail("nobody takes the answers");
  }
}

static err_t to_wire(struct pbuf *p, uint16_t type) {
  static uint8_t frame[ETHERNET_HEADER + 2048];
  u16_t length = pbuf_copy_partial(p, frame + ETHERNET_HEADER, sizeof frame - ETHERNET_HEADER, 0);
  frame[12] = (uint8_t)(type >> 8);
  frame[13] = (uint8_t)type;
  answer(ANSWER_FRAME, frame, (size_t)length + ETHERNET_HEADER);
  return ERR_OK;
}

static err_t wire_output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *hop) {
  (void)netif, (void)hop;
  return to_wire(p, TYPE_IPV4);
}

static err_t wire_output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *hop) {
  (void)netif, (void)hop;
  return to_wire(p, TYPE_IPV6);
}

/* Takes the place of lwIP's own input: the host inside is whoever asks. */
static err_t from_tunnel(struct pbuf *p, struct netif *netif) {
  static uint8_t packet[2048];
  (void)netif;
  answer(ANSWER_PACKET, packet, pbuf_copy_partial(p, packet, sizeof packet, 0));
  pbuf_free(p);
  return ERR_OK;
}

static void answer_status(void) {
  static char text[4096];
  struct wg_status status;
  size_t length;
  int refusal;
  expect_ok(wg_get_status(tunnel.wg, now(NULL), peer, &status), "the status");
  length = (size_t)sprintf(text, "connection %s\nnow %llu\nreceived %llu\nsent %llu\n",
                           wg_name(status.connection), (unsigned long long)now(NULL),
                           (unsigned long long)status.received_bytes,
                           (unsigned long long)status.sent_bytes);
  if (status.endpoint.address.family != 0) {
    ip_addr_t address;
    memset(&address, 0, sizeof address);
    if (status.endpoint.address.family == 6) {
      IP_SET_TYPE(&address, IPADDR_TYPE_V6);
      memcpy(ip_2_ip6(&address)->addr, status.endpoint.address.bytes, 16);
    } else {
      memcpy(&ip_2_ip4(&address)->addr, status.endpoint.address.bytes, 4);
    }
    length += (size_t)sprintf(text + length, "address %s\nport %u\n", ipaddr_ntoa(&address),
                              status.endpoint.port);
  }
  if (status.last_handshake != WG_NEVER) {
    length += (size_t)sprintf(text + length, "handshake %llu\n",
                              (unsigned long long)status.last_handshake);
  }
  for (refusal = WG_REFUSED_MALFORMED; refusal >= WG_REFUSED_CONGESTION_LOST; refusal--) {
    uint32_t count = wg_count(tunnel.wg, WG_NO_PEER, refusal);
    if (count != 0) {
      length += (size_t)sprintf(text + length, "%s %lu\n", wg_name(refusal), (unsigned long)count);
    }
  }
  answer(ANSWER_STATUS, text, length);
}

/* ---- questions ---- */

static err_t start_wire(struct netif *netif) {
  netif->name[0] = 'e';
  netif->name[1] = 't';
  netif->mtu = 1500;
  netif->output = wire_output4;
  netif->output_ip6 = wire_output6;
  return ERR_OK;
}

static void take_address(const char *text) {
  ip_addr_t address;
  if (!ipaddr_aton(text, &address)) {
    fail("no address");
  }
  if (IP_IS_V6(&address)) {
    netif_ip6_addr_set(&wire, 1, ip_2_ip6(&address));
    netif_ip6_addr_set_state(&wire, 1, IP6_ADDR_PREFERRED);
  } else {
    netif_set_ipaddr(&wire, ip_2_ip4(&address));
  }
}

static void configure(const char *text, size_t length) {
  static struct wg_config said;
  static struct wg_lwip_config config;
  static struct wg_port port = {NULL, random_bytes, unix_time, NULL, NULL};
  size_t i;
  if (record_file != NULL) {
    port.load = load;
    port.save = save;
  }
  expect_ok(wg_read_config(text, length, &said), said.sentence);
  config.storage = &storage;
  config.storage_size = sizeof storage;
  config.peers = 1;
  config.routes = 4;
  config.port = &port;
  config.now = now;
  for (i = 0; i < WG_LWIP_ADDRESSES; i++) {
    config.addresses[i] = said.addresses[i];
    config.prefix_lens[i] = said.prefix_lens[i];
  }
  config.listen_port = said.listen_port;
  config.mtu = said.mtu;
  expect_ok(wg_lwip_add(&tunnel, &config), "the interface");
  tunnel.netif.input = from_tunnel;
  expect_ok(wg_configure(tunnel.wg, now(NULL), text, length, &said), said.sentence);
  expect_ok(wg_next_peer(tunnel.wg, &peer), "the peer");
}

static struct pbuf *pbuf_of(const uint8_t *bytes, size_t length) {
  struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM);
  if (p == NULL || pbuf_take(p, bytes, (u16_t)length) != ERR_OK) {
    fail("no memory");
  }
  return p;
}

static void ask(int kind, char *text, size_t length) {
  const uint8_t *bytes = (const uint8_t *)text;
  struct pbuf *p;
  text[length] = '\0';
  switch (kind) {
  case ASK_ADDRESS:
    take_address(text);
    break;
  case ASK_CONFIGURE:
    configure(text, length);
    break;
  case ASK_FRAME:
    p = pbuf_of(bytes + ETHERNET_HEADER, length - ETHERNET_HEADER);
    if (wire.input(p, &wire) != ERR_OK) {
      pbuf_free(p);
    }
    break;
  case ASK_PACKET:
    p = pbuf_of(bytes, length);
    /* A packet that is not sent is missed by whoever it is for. */
    (void)(bytes[0] >> 4 == 6 ? tunnel.netif.output_ip6(&tunnel.netif, p, IP6_ADDR_ANY6)
                              : tunnel.netif.output(&tunnel.netif, p, IP4_ADDR_ANY4));
    pbuf_free(p);
    break;
  case ASK_ENDPOINT: {
    static char host[48]; /* Used until there is another. */
    unsigned place;
    if (sscanf(text, "%47s %u", host, &place) != 2) {
      fail("no endpoint");
    }
    expect_ok(wg_lwip_set_endpoint(&tunnel, peer, host, (uint16_t)place), "the endpoint");
    break;
  }
  case ASK_KEEPALIVE:
    expect_ok(wg_set_keepalive(tunnel.wg, now(NULL), peer, (uint16_t)atoi(text)), "the keepalive");
    break;
  case ASK_STATUS:
    answer_status();
    break;
  case ASK_TIME:
    break;
  default:
    fail("no such question");
  }
  sys_check_timeouts();
  if (tunnel.wg != NULL) {
    expect_ok(wg_lwip_drive(&tunnel), "driving");
  }
  answer(ANSWER_DONE, "", 0);
  (void)fflush(stdout);
}

int main(int argc, char **argv) {
  static char text[LONGEST + 1];
  uint8_t head[3];
  ip4_addr_t mask;
  if (argc < 2) {
    fail("usage: main SECONDS_BEHIND [RECORD_FILE]");
  }
  seconds_behind = strtoull(argv[1], NULL, 10);
  record_file = argc > 2 ? argv[2] : NULL;
  lwip_init();
  IP4_ADDR(&mask, 255, 255, 255, 0);
  if (netif_add(&wire, IP4_ADDR_ANY4, &mask, IP4_ADDR_ANY4, NULL, start_wire, ip_input) == NULL) {
    fail("no interface");
  }
  netif_set_up(&wire);
  netif_set_link_up(&wire);
  while (fread(head, 1, sizeof head, stdin) == sizeof head) {
    size_t length = (size_t)(head[1] | head[2] << 8);
    if (fread(text, 1, length, stdin) != length) {
      fail("half a question");
    }
    ask(head[0], text, length);
  }
  if (tunnel.wg != NULL) {
    expect_ok(wg_lwip_remove(&tunnel), "the end");
  }
  netif_remove(&wire);
  return 0;
}
