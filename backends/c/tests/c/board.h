/* A board for tests: callbacks that can be told to fail, and a check that says where it stands. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wg.h"

#define CHECK(condition)                                                                     \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
      exit(1);                                                                               \
    }                                                                                        \
  } while (0)

#define CHECK_CODE(call, code)                                                               \
  do {                                                                                       \
    int got = (call);                                                                        \
    if (got != (code)) {                                                                     \
      fprintf(stderr, "%s:%d: %s: %s, not %s\n", __FILE__, __LINE__, #call, wg_name(got),    \
              wg_name(code));                                                                \
      exit(1);                                                                               \
    }                                                                                        \
  } while (0)

#define OK(call) CHECK_CODE(call, WG_OK)

struct board {
  uint64_t seed;
  uint64_t unix_seconds; /* 0 while it is unknown */
  bool random_fails, load_fails, save_fails;
  bool has_record;
  uint8_t record[WG_RECORD_LEN];
  unsigned random_calls, loads, saves;
  struct wg *calls_back; /* an engine that the random callback calls */
};

static inline int board_random(void *context, uint8_t *bytes, size_t length) {
  struct board *board = (struct board *)context;
  board->random_calls++;
  if (board->calls_back != NULL) {
    CHECK_CODE(wg_down(board->calls_back), WG_ERR_BUSY);
    CHECK_CODE(wg_wipe(board->calls_back), WG_ERR_BUSY);
  }
  if (board->random_fails) {
    return -1;
  }
  for (size_t i = 0; i < length; i++) {
    board->seed = board->seed * 6364136223846793005u + 1442695040888963407u;
    bytes[i] = (uint8_t)(board->seed >> 56);
  }
  return 0;
}

static inline int board_unix_time(void *context, uint64_t *seconds, uint32_t *nanoseconds) {
  struct board *board = (struct board *)context;
  *seconds = board->unix_seconds;
  *nanoseconds = 0;
  return board->unix_seconds == 0;
}

static inline int board_load(void *context, uint8_t record[WG_RECORD_LEN]) {
  struct board *board = (struct board *)context;
  board->loads++;
  if (board->load_fails) {
    return -5;
  }
  if (!board->has_record) {
    return WG_NONE;
  }
  memcpy(record, board->record, WG_RECORD_LEN);
  return 0;
}

static inline int board_save(void *context, const uint8_t record[WG_RECORD_LEN]) {
  struct board *board = (struct board *)context;
  board->saves++;
  if (board->save_fails) {
    return -5;
  }
  memcpy(board->record, record, WG_RECORD_LEN);
  board->has_record = true;
  return 0;
}

static inline struct wg_port board_port(struct board *board) {
  struct wg_port port = {board, board_random, board_unix_time, board_load, board_save};
  return port;
}

static inline struct wg_endpoint endpoint(const char *text, uint16_t port) {
  struct wg_endpoint to;
  memset(&to, 0, sizeof to);
  OK(wg_parse_address(&to.address, text));
  to.port = port;
  return to;
}

static inline bool same_place(const struct wg_endpoint *a, const struct wg_endpoint *b) {
  return memcmp(&a->address, &b->address, sizeof a->address) == 0 && a->port == b->port;
}

/* An IPv4 packet of `length` bytes from 10.0.0.`from` to 10.0.0.`to`, its bytes counting up. */
static inline void ipv4(uint8_t *packet, uint16_t length, uint8_t from, uint8_t to, uint8_t first) {
  memset(packet, 0, 20);
  packet[0] = 0x45;
  packet[2] = (uint8_t)(length >> 8);
  packet[3] = (uint8_t)length;
  packet[8] = 64;
  packet[9] = 1;
  packet[12] = packet[16] = 10;
  packet[15] = from;
  packet[19] = to;
  for (uint16_t i = 20; i < length; i++) {
    packet[i] = (uint8_t)(first + i);
  }
}

#endif
