/* Two engines of the archive, as it is packaged: how far down each call of a handshake and of a packet
 * writes to the stack, its callees and the cryptography included. For `cargo xtask size`. */
#include <string.h>

#include "board.h"
#include "console.h"
#include "stack.h"
#include "wg.h"

#define LENGTH 1420

struct end {
  struct wg *wg;
  wg_peer peer;
  uint8_t private_key[WG_KEY_LEN], public_key[WG_KEY_LEN];
};

WG_STORAGE(storage_a, 1, 2);
WG_STORAGE(storage_b, 1, 2);
static struct end a, b;
static uint8_t buffer[WG_HEADROOM + LENGTH + WG_TAILROOM];
static uint8_t record[WG_RECORD_LEN];
static const uint64_t now = 1000000;

/* What is measured does not depend on what is random. */
static int random_bytes(void *context, uint8_t *bytes, size_t length) {
  static uint8_t next;
  (void)context;
  while (length-- > 0) {
    *bytes++ = ++next;
  }
  return 0;
}

static int load(void *context, uint8_t *to) {
  (void)context;
  memcpy(to, record, sizeof record);
  return WG_NONE;
}

static int save(void *context, const uint8_t *from) {
  (void)context;
  memcpy(record, from, sizeof record);
  return 0;
}

static const struct wg_port port = {NULL, random_bytes, NULL, load, save};

static void expect(int is_true, const char *what) {
  if (!is_true) {
    print_text("not as expected: "), print_text(what), print_text("\n");
    board_exit(1);
  }
}

static void report(const char *name, uint32_t bytes) {
  print_text("stack "), print_text(name), print_text(" "), print_number(bytes), print_text("\n");
}

static void make(struct end *end, void *memory) {
  expect(wg_init(&end->wg, memory, sizeof storage_a, 1, 2, &port) == WG_OK, "an engine");
  expect(wg_generate_private_key(end->wg, end->private_key) == WG_OK, "a key");
  expect(wg_set_private_key(end->wg, now, end->private_key) == WG_OK, "the key");
  expect(wg_own_public_key(end->wg, end->public_key) == WG_OK, "the public key");
}

int main(void) {
  static struct wg_endpoint from_a = {{{192, 0, 2, 1}, 4}, 1}, from_b = {{{192, 0, 2, 2}, 4}, 2};
  static struct wg_transmit transmit;
  static struct wg_received received;
  static struct wg_event event;
  uint8_t *packet = buffer + WG_HEADROOM;
  int result;
  make(&a, &storage_a);
  make(&b, &storage_b);
  expect(wg_add_peer(a.wg, b.public_key, &a.peer) == WG_OK, "a peer");
  expect(wg_add_peer(b.wg, a.public_key, &b.peer) == WG_OK, "the other peer");
  expect(wg_add_allowed_ip_text(a.wg, a.peer, "10.0.0.2") == WG_OK, "a route");
  expect(wg_add_allowed_ip_text(b.wg, b.peer, "10.0.0.1") == WG_OK, "the other route");
  expect(wg_set_endpoint(a.wg, now, a.peer, &from_b) == WG_OK, "an endpoint");
  expect(wg_connect(a.wg, now, a.peer) == WG_OK, "a call");

  stack_paint();
  result = wg_poll_transmit(a.wg, now, buffer, &transmit);
  report("initiate", stack_touched());
  expect(result == WG_OK && transmit.length == 148, "an initiation");

  stack_paint();
  result = wg_handle_datagram(b.wg, now, &from_a, NULL, buffer, 148, &received);
  report("respond", stack_touched());
  expect(result == WG_OK && received.kind == WG_RECEIVED_REPLY, "a response");

  stack_paint();
  result = wg_handle_datagram(a.wg, now, &from_b, NULL, buffer, 92, &received);
  report("complete", stack_touched());
  expect(result == WG_OK && received.kind == WG_RECEIVED_HANDSHAKE, "a session");
  expect(wg_poll_event(a.wg, &event) == WG_OK && event.kind == WG_EVENT_SESSION_UP, "its event");

  packet[0] = 0x45;
  packet[2] = LENGTH >> 8;
  packet[3] = LENGTH & 0xff;
  memcpy(packet + 12, (const uint8_t[]){10, 0, 0, 1, 10, 0, 0, 2}, 8);
  stack_paint();
  result = wg_seal(a.wg, now, buffer, sizeof buffer, LENGTH, &transmit);
  report("seal", stack_touched());
  expect(result == WG_OK, "a datagram");

  stack_paint();
  result = wg_handle_datagram(b.wg, now, &from_a, NULL, transmit.datagram, transmit.length, &received);
  report("open", stack_touched());
  expect(result == WG_OK && received.kind == WG_RECEIVED_PACKET && received.length == LENGTH, "a packet");
  print_text("done\n");
  board_exit(0);
}
