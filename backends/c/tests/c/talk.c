/* Two engines in one process: handshakes, packets of every length, ten thousand each way. */
#include "board.h"

struct end {
  struct board board;
  struct wg *wg;
  wg_peer peer;
  struct wg_endpoint address;
};

WG_STORAGE(storage_a, 1, 2);
WG_STORAGE(storage_b, 3, 5);
static struct end a, b;
static uint64_t now = 1000000;

static void start(struct end *end, void *storage, size_t size, size_t peers, size_t routes) {
  struct wg_port port = board_port(&end->board);
  OK(wg_init(&end->wg, storage, size, peers, routes, &port));
}

/* Gives `datagram` to the other end, and its answer to this one. */
static void deliver(struct end *from, struct end *to, uint8_t *datagram, size_t length, uint8_t kind) {
  struct wg_received received;
  OK(wg_handle_datagram(to->wg, now, &from->address, &to->address.address, datagram, length,
                        &received));
  CHECK(received.kind == kind);
  if (kind == WG_RECEIVED_REPLY) {
    CHECK(received.reply.datagram == datagram && received.reply.length == 92);
    CHECK(same_place(&received.reply.to, &from->address));
    CHECK(received.reply.from.family == 4);
    deliver(to, from, received.reply.datagram, received.reply.length, WG_RECEIVED_HANDSHAKE);
  }
}

static unsigned poll_transmit(struct end *from, struct end *to) {
  uint8_t buffer[WG_TRANSMIT_LEN];
  struct wg_transmit transmit;
  unsigned count = 0;
  int result;
  while ((result = wg_poll_transmit(from->wg, now, buffer, &transmit)) == WG_OK) {
    uint8_t kind = transmit.length == 32 ? WG_RECEIVED_KEEPALIVE : WG_RECEIVED_REPLY;
    CHECK(transmit.length == 32 || transmit.length == 148);
    deliver(from, to, transmit.datagram, transmit.length, kind);
    count++;
  }
  CHECK_CODE(result, WG_NONE);
  return count;
}

/* Sends a packet of `length` bytes at this offset of a buffer, and has it come out as it was. */
static void send(struct end *from, struct end *to, uint8_t mine, uint8_t other, uint16_t length,
                 size_t offset) {
  static _Alignas(8) uint8_t buffer[2048];
  uint8_t expected[1500];
  uint8_t *datagram = buffer + offset;
  struct wg_transmit transmit;
  struct wg_received received;
  ipv4(expected, length, mine, other, (uint8_t)now);
  memcpy(datagram + WG_HEADROOM, expected, length);
  OK(wg_seal(from->wg, now, datagram, (size_t)length + WG_HEADROOM + WG_TAILROOM, length, &transmit));
  CHECK(transmit.datagram == datagram && transmit.peer == from->peer);
  CHECK(transmit.length >= (size_t)length + 32 && transmit.length <= (size_t)length + 47);
  OK(wg_handle_datagram(to->wg, now, &from->address, NULL, transmit.datagram, transmit.length,
                        &received));
  CHECK(received.kind == WG_RECEIVED_PACKET && received.peer == to->peer);
  CHECK(received.length == length && memcmp(received.packet, expected, length) == 0);
}

static int next_event(struct end *end) {
  struct wg_event event;
  int result = wg_poll_event(end->wg, &event);
  if (result == WG_NONE) {
    return -1;
  }
  OK(result);
  CHECK(event.peer == end->peer);
  return event.kind;
}

int main(void) {
  uint8_t key_a[WG_KEY_LEN], key_b[WG_KEY_LEN], public_b[WG_KEY_LEN], shared[WG_KEY_LEN];
  char text[WG_KEY_TEXT_LEN];
  a.board.seed = 1;
  b.board.seed = 2;
  a.address = endpoint("192.0.2.1", 1000);
  b.address = endpoint("192.0.2.2", 2000);
  CHECK(sizeof storage_a >= wg_storage_size(1, 2) && sizeof storage_b >= wg_storage_size(3, 5));
  for (size_t peers = 1; peers < 70; peers += 3) {
    for (size_t routes = 1; routes < 70; routes += 3) {
      CHECK(WG_STORAGE_SIZE(peers, routes) >= wg_storage_size(peers, routes));
    }
  }
  start(&a, &storage_a, wg_storage_size(1, 2), 1, 2);
  start(&b, &storage_b, sizeof storage_b, 3, 5);

  /* Keys, raw and in base64. */
  OK(wg_generate_private_key(a.wg, key_a));
  OK(wg_generate_private_key(b.wg, key_b));
  OK(wg_generate_preshared_key(b.wg, shared));
  CHECK(memcmp(key_a, key_b, WG_KEY_LEN) != 0);
  OK(wg_key_to_base64(text, key_a));
  CHECK(strlen(text) == WG_KEY_TEXT_LEN - 1);
  OK(wg_set_private_key_base64(a.wg, now, text));
  OK(wg_set_private_key(b.wg, now, key_b));
  OK(wg_public_key(public_b, key_b));
  OK(wg_add_peer(a.wg, public_b, &a.peer));
  uint8_t public_a[WG_KEY_LEN], again[WG_KEY_LEN];
  OK(wg_own_public_key(a.wg, public_a));
  OK(wg_key_to_base64(text, public_a));
  OK(wg_add_peer_base64(b.wg, text, &b.peer));
  OK(wg_key_from_base64(again, text));
  CHECK(memcmp(again, public_a, WG_KEY_LEN) == 0);
  OK(wg_set_preshared_key(a.wg, a.peer, shared));
  OK(wg_key_to_base64(text, shared));
  OK(wg_set_preshared_key_base64(b.wg, b.peer, text));
  wg_peer found;
  OK(wg_find_peer(a.wg, public_b, &found));
  CHECK(found == a.peer);
  found = WG_NO_PEER;
  OK(wg_next_peer(b.wg, &found));
  CHECK(found == b.peer);
  CHECK_CODE(wg_next_peer(b.wg, &found), WG_NONE);

  struct wg_address network = endpoint("10.0.0.0", 1).address;
  OK(wg_add_allowed_ip(a.wg, a.peer, &network, 24));
  OK(wg_add_allowed_ip_text(b.wg, b.peer, "10.0.0.1"));
  OK(wg_set_endpoint(a.wg, now, a.peer, &b.address));

  /* A packet asks for a session, waits, and goes when there is one. B learns A's address. */
  uint8_t buffer[256];
  struct wg_transmit transmit;
  struct wg_status status;
  ipv4(buffer + WG_HEADROOM, 40, 1, 2, 0);
  CHECK_CODE(wg_seal(a.wg, now, buffer, sizeof buffer, 40, &transmit), WG_ERR_NO_SESSION);
  OK(wg_get_status(a.wg, now, a.peer, &status));
  CHECK(status.connection == WG_HANDSHAKING && status.last_handshake == WG_NEVER);
  CHECK(next_event(&a) == -1);
  CHECK(poll_transmit(&a, &b) == 2); /* an initiation, and the keepalive that confirms the session */
  CHECK(next_event(&a) == WG_EVENT_SESSION_UP && next_event(&a) == -1);
  CHECK(next_event(&b) == WG_EVENT_ENDPOINT_MOVED && next_event(&b) == WG_EVENT_SESSION_UP);
  OK(wg_get_status(a.wg, now, a.peer, &status));
  CHECK(status.connection == WG_OK && status.last_handshake == now && status.session_birth == now);
  CHECK(memcmp(status.public_key, public_b, WG_KEY_LEN) == 0);
  CHECK(same_place(&status.endpoint, &b.address));

  /* Every length at every alignment, then ten thousand each way, over new sessions. */
  for (uint16_t length = 20; length <= 1420; length += 7) {
    send(&a, &b, 1, 2, length, length % 8);
  }
  for (unsigned i = 0; i < 10000; i++) {
    now += 50000;
    uint64_t at;
    int reason;
    while (wg_poll_timeout(a.wg, &at, &reason) == WG_OK && at <= now) {
      CHECK(reason >= WG_REASON_RETRANSMIT && reason <= WG_REASON_WIPE_KEYS);
      OK(wg_handle_timeout(a.wg, now));
    }
    while (wg_poll_timeout(b.wg, &at, NULL) == WG_OK && at <= now) {
      OK(wg_handle_timeout(b.wg, now));
    }
    (void)poll_transmit(&a, &b);
    (void)poll_transmit(&b, &a);
    send(&a, &b, 1, 2, (uint16_t)(20 + i % 1400), i % 4);
    send(&b, &a, 2, 1, (uint16_t)(20 + i % 1400), i % 4);
    while (next_event(&a) >= 0) {
    }
    while (next_event(&b) >= 0) {
    }
  }
  OK(wg_get_status(a.wg, now, a.peer, &status));
  CHECK(status.last_handshake > 400000000 && status.received_bytes > 7000000);

  /* A replay, a stranger's source, a route that nobody has: each has its name and is counted. */
  static uint8_t copy[256];
  struct wg_received received;
  memset(&received, 0x5a, sizeof received);
  ipv4(buffer + WG_HEADROOM, 40, 1, 2, 0);
  OK(wg_seal(a.wg, now, buffer, sizeof buffer, 40, &transmit));
  memcpy(copy, transmit.datagram, transmit.length);
  OK(wg_handle_datagram(b.wg, now, &a.address, NULL, buffer, transmit.length, &received));
  memset(&received, 0x5a, sizeof received);
  CHECK_CODE(wg_handle_datagram(b.wg, now, &b.address, NULL, copy, transmit.length, &received),
             WG_REFUSED_REPLAYED);
  CHECK(received.kind == 0x5a && received.length == (size_t)0x5a5a5a5a5a5a5a5a);
  OK(wg_get_status(b.wg, now, b.peer, &status));
  CHECK(same_place(&status.endpoint, &a.address)); /* not stolen */
  ipv4(buffer + WG_HEADROOM, 40, 77, 2, 0);
  OK(wg_seal(a.wg, now, buffer, sizeof buffer, 40, &transmit));
  CHECK_CODE(wg_handle_datagram(b.wg, now, &a.address, NULL, buffer, transmit.length, &received),
             WG_REFUSED_NOT_ALLOWED_SOURCE);
  CHECK(wg_count(b.wg, WG_NO_PEER, WG_REFUSED_NOT_ALLOWED_SOURCE) == 1);
  CHECK(wg_count(b.wg, b.peer, WG_REFUSED_REPLAYED) == 1);
  CHECK(wg_count(b.wg, b.peer, WG_REFUSED_FORGED) == 0);
  buffer[WG_HEADROOM + 16] = 11;
  ipv4(buffer + WG_HEADROOM, 40, 1, 2, 0);
  buffer[WG_HEADROOM + 16] = 11;
  CHECK_CODE(wg_seal(a.wg, now, buffer, sizeof buffer, 40, &transmit), WG_REFUSED_NO_ROUTE);

  /* Down and up; then the memory is blank. */
  OK(wg_down(a.wg));
  OK(wg_get_status(a.wg, now, a.peer, &status));
  CHECK(status.connection == WG_REFUSED_DOWN);
  OK(wg_up(a.wg, now));
  OK(wg_connect(a.wg, now, a.peer));
  CHECK(poll_transmit(&a, &b) >= 1);
  OK(wg_get_status(a.wg, now, a.peer, &status));
  CHECK(status.connection == WG_OK);
  OK(wg_wipe(a.wg));
  for (size_t i = 0; i < wg_storage_size(1, 2); i++) {
    CHECK(storage_a.bytes[i] == 0);
  }
  OK(wg_wipe(b.wg));
  CHECK_CODE(wg_wipe(b.wg), WG_ERR_NOT_INITIALIZED);
  wg_wipe_bytes(key_a, sizeof key_a);
  CHECK(key_a[0] == 0 && key_a[31] == 0);
  return 0;
}
