#include "flash.h"

#include <string.h>

#include "board.h"
#include "wg.h"

/* Commands, on both of the chips that share a bus. */
#define ERASE 0x00200020u
#define CONFIRM 0x00d000d0u
#define PROGRAM 0x00400040u
#define CLEAR_STATUS 0x00500050u
#define READ 0x00ff00ffu
#define READY 0x80u
#define ERRORS 0x3au

#define WORDS (WG_RECORD_LEN / 4)
/* What stands in a sector: the record, how many were saved before, and last that it is whole. */
struct saved {
  uint32_t record[WORDS], number, whole;
};

static volatile uint32_t *sector(uint32_t number) { return board_flash + number * (board_flash_sector / 4); }

const char *flash_text(size_t *length) {
  const char *text = (const char *)(uintptr_t)board_flash;
  const char *end = memchr(text, 0xff, board_flash_sector);
  if (end == NULL || end == text) {
    return NULL;
  }
  *length = (size_t)(end - text);
  return text;
}

/* Gives two commands, and waits until they are done. */
static int command(volatile uint32_t *at, uint32_t first, uint32_t second) {
  uint32_t status;
  *at = first;
  *at = second;
  do {
    status = *at;
  } while ((status & READY) == 0);
  *at = CLEAR_STATUS;
  *at = READ;
  return (status & ERRORS) == 0 ? 0 : -1;
}

static uint32_t check(const struct saved *saved) {
  uint32_t i, sum = saved->number;
  for (i = 0; i < WORDS; i++) {
    sum = (sum << 5 | sum >> 27) ^ saved->record[i];
  }
  return ~sum;
}

/* The newest record, and which sector has it; 0 for none. */
static uint32_t newest(struct saved *found) {
  uint32_t number, i, at = 0;
  for (number = 1; number <= 2; number++) {
    struct saved saved;
    uint32_t *words = (uint32_t *)&saved;
    for (i = 0; i < sizeof saved / 4; i++) {
      words[i] = sector(number)[i];
    }
    if (saved.whole == check(&saved) && (at == 0 || saved.number > found->number)) {
      *found = saved;
      at = number;
    }
  }
  return at;
}

int flash_load(void *context, uint8_t *record) {
  struct saved found;
  (void)context;
  if (newest(&found) == 0) {
    return WG_NONE;
  }
  memcpy(record, found.record, WG_RECORD_LEN);
  return 0;
}

int flash_save(void *context, const uint8_t *record) {
  struct saved next = {{0}, 0, 0};
  const uint32_t *words = (const uint32_t *)&next;
  /* A power cut meanwhile leaves the other one. */
  uint32_t i, to = newest(&next) == 1 ? 2 : 1;
  (void)context;
  memcpy(next.record, record, WG_RECORD_LEN);
  next.number++;
  next.whole = check(&next);
  if (command(sector(to), ERASE, CONFIRM) != 0) {
    return -1;
  }
  for (i = 0; i < sizeof next / 4; i++) {
    if (command(sector(to) + i, PROGRAM, words[i]) != 0) {
      return -1;
    }
  }
  return 0;
}
