/* Timestamps over reboots: a responder that never reboots accepts every initiation of a board that
 * does, whatever becomes of the board's time of day. */
#include "board.h"

WG_STORAGE(storage, 1, 1);
WG_STORAGE(gateways, 1, 1);
static struct board board = {.seed = 3}, gateways_board = {.seed = 4, .unix_seconds = 1800000000};
static struct wg *wg, *gateway;
static wg_peer peer, known;
static uint8_t private_key[WG_KEY_LEN], public_key[WG_KEY_LEN];
static struct wg_endpoint board_at, gateway_at;
static uint64_t gateway_now = 1000000;

/* Power goes without a word: the memory is what it was, or anything. */
static void reboot(struct wg_port port) {
  memset(&storage, 0xa5, sizeof storage);
  OK(wg_init(&wg, &storage, sizeof storage, 1, 1, &port));
  OK(wg_set_private_key(wg, 0, private_key));
  OK(wg_add_peer(wg, public_key, &peer));
  OK(wg_set_endpoint(wg, 0, peer, &gateway_at));
}

/* Asks for a session at this time since the boot, and says what the gateway or the board answers. */
static int shake_hands(uint64_t now) {
  uint8_t buffer[WG_TRANSMIT_LEN];
  struct wg_transmit transmit;
  struct wg_received received;
  gateway_now += 6000000;
  OK(wg_connect(wg, now, peer));
  int result = wg_poll_transmit(wg, now, buffer, &transmit);
  if (result != WG_OK) {
    struct wg_status status;
    CHECK(result == WG_NONE);
    OK(wg_get_status(wg, now, peer, &status));
    return status.connection;
  }
  CHECK(transmit.length == WG_TRANSMIT_LEN);
  return wg_handle_datagram(gateway, gateway_now, &board_at, NULL, buffer, transmit.length, &received);
}

int main(void) {
  board_at = endpoint("2001:db8::1", 5);
  gateway_at = endpoint("2001:db8::2", 5);
  struct wg_port port = board_port(&board), gateways_port = board_port(&gateways_board);
  OK(wg_init(&gateway, &gateways, sizeof gateways, 1, 1, &gateways_port));
  OK(wg_generate_private_key(gateway, private_key));
  OK(wg_set_private_key(gateway, 0, private_key));
  OK(wg_own_public_key(gateway, public_key));
  OK(wg_generate_private_key(gateway, private_key));
  uint8_t boards_key[WG_KEY_LEN];
  OK(wg_public_key(boards_key, private_key));
  OK(wg_add_peer(gateway, boards_key, &known));

  /* The first boot with the time of day known, then a hundred without. */
  board.unix_seconds = 1800000000;
  reboot(port);
  CHECK(wg_get_clock(wg) == WG_CLOCK_NOT_LOADED && board.saves == 0);
  OK(shake_hands(0));
  CHECK(wg_get_clock(wg) == WG_CLOCK_STEADY && board.saves == 1);
  board.unix_seconds = 0;
  for (unsigned boots = 0; boots < 100; boots++) {
    reboot(port);
    OK(shake_hands(0));
    OK(shake_hands(10000000));
    CHECK(wg_get_clock(wg) == WG_CLOCK_STORED);
  }
  CHECK(board.saves == 101); /* once a boot */
  board.unix_seconds = 1700000000; /* the time of day is wrong: before the last one */
  reboot(port);
  OK(shake_hands(0));

  /* Thousands of handshakes write about once in a thousand. */
  unsigned saves = board.saves;
  for (uint64_t i = 1; i <= 3000; i++) {
    OK(shake_hands(i * 10000000));
  }
  CHECK(board.saves - saves == 3);

  /* Memory that cannot be written: to the end of the range, then an error; and on when it works. */
  board.save_fails = true;
  int result = WG_OK;
  uint64_t now = 40000000000;
  for (unsigned i = 0; i < 2000 && result == WG_OK; i++) {
    result = shake_hands(now += 10000000);
  }
  CHECK_CODE(result, WG_ERR_RECORD);
  CHECK(wg_count(wg, WG_NO_PEER, WG_REFUSED_CLOCK_RESERVE) == 1);
  board.save_fails = false;
  OK(shake_hands(now += 10000000));

  /* Memory that cannot be read gives no timestamp at all. */
  board.load_fails = true;
  reboot(port);
  CHECK_CODE(shake_hands(0), WG_ERR_RECORD);
  CHECK(wg_get_clock(wg) == WG_CLOCK_NOT_LOADED);
  board.load_fails = false;
  OK(shake_hands(10000000));

  /* A record that was cut off counts as none: the gateway refuses until the time of day is known. */
  board.record[WG_RECORD_LEN - 1] ^= 1;
  board.unix_seconds = 0;
  reboot(port);
  CHECK_CODE(shake_hands(0), WG_REFUSED_STALE_TIMESTAMP);
  CHECK(wg_get_clock(wg) == WG_CLOCK_UNANCHORED);
  board.unix_seconds = 1900000000;
  OK(shake_hands(10000000));
  CHECK(wg_get_clock(wg) == WG_CLOCK_STEADY);

  /* Without lasting memory the time of day is needed, and an error says so. */
  board.unix_seconds = 0;
  port.load = NULL;
  port.save = NULL;
  reboot(port);
  CHECK_CODE(shake_hands(0), WG_REFUSED_CLOCK_NOT_SET);
  board.unix_seconds = 2000000000;
  OK(shake_hands(10000000));
  port.unix_time = NULL;
  reboot(port);
  CHECK_CODE(shake_hands(0), WG_REFUSED_CLOCK_NOT_SET);
  OK(wg_wipe(wg));
  OK(wg_wipe(gateway));
  return 0;
}
