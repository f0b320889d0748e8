/* What the firmware asks of a board. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

#include "lwip/netif.h"

/* Ends the emulation. */
_Noreturn void board_exit(int failed);
void board_write(const char *text, size_t length);
/* Microseconds since the start. */
uint64_t board_micros(void);
/* Sleeps until a device asks for attention or the time has come. */
void board_sleep_until(uint64_t micros);
void board_random(void *bytes, size_t length);

/* The board's flash memory, and how much of it is erased at once. */
extern volatile uint32_t *const board_flash;
extern const uint32_t board_flash_sector;

/* The network card as an interface of lwIP, for netif_add; and what it has received, handed to lwIP. */
err_t card_init(struct netif *netif);
void card_poll(struct netif *netif);

/* What the card's driver has seen since the start. */
struct card_counters {
  uint32_t frames;
  uint32_t no_memory; /* lwIP had no pbuf for a frame */
  uint32_t unsent;    /* the card had no room for one */
};
extern struct card_counters card_counters;

/* Hands a frame from the card to lwIP. */
void card_received(struct netif *netif, const void *frame, size_t length);

#endif
