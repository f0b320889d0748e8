/* The card and the random source of the RISC-V board: virtio 1 over MMIO, with split queues. */
#include "virtio.h"

#include <string.h>

#include "board.h"
#include "console.h"

#define DEVICE(number, offset) (*(volatile uint32_t *)(0x10001000u + 0x1000u * (number) + (offset)))
enum {
  DEVICE_ID = 0x08,
  DRIVER_FEATURES = 0x20,
  DRIVER_FEATURES_SEL = 0x24,
  QUEUE_SEL = 0x30,
  QUEUE_NUM = 0x38,
  QUEUE_READY = 0x44,
  QUEUE_NOTIFY = 0x50,
  INTERRUPT_STATUS = 0x60,
  INTERRUPT_ACK = 0x64,
  STATUS = 0x70,
  QUEUE_DESC = 0x80,
  QUEUE_DRIVER = 0x90,
  QUEUE_DEVICE = 0xa0,
  CONFIG = 0x100
};
enum { CARD, RANDOM };
enum { ID_CARD = 1, ID_RANDOM = 4 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
#define FEATURE_MAC (1u << 5)     /* of the low word */
#define FEATURE_VERSION_1 (1u)    /* of the high word */
#define DEVICE_WRITES 2

#define SLOTS 16
#define HEADER 12
#define FRAME 1514

/* Buffers that driver and device hand to each other, each slot with its own descriptor. */
struct queue {
  struct {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
  } descriptors[SLOTS];
  struct {
    uint16_t flags, index, ring[SLOTS];
  } given;
  uint16_t seen; /* how many of `taken` were looked at */
  _Alignas(4) struct {
    uint16_t flags, index;
    struct {
      uint32_t slot, length;
    } ring[SLOTS];
  } taken;
};

static _Alignas(16) volatile struct queue receiving, sending, random_bytes;
static uint8_t received[SLOTS][HEADER + FRAME], sent[SLOTS][HEADER + FRAME];
static uint16_t free_slots = 0xffff; /* of `sent`, a bit each */
struct card_counters card_counters;

/* Memory is shared with the device, which reads it when it is told. */
static void barrier(void) { __asm__ volatile("fence rw, rw" ::: "memory"); }

static void start_device(unsigned device, uint32_t id, uint32_t features) {
  if (DEVICE(device, DEVICE_ID) != id) {
    print_text("the emulator is started without a device\n");
    board_exit(1);
  }
  DEVICE(device, STATUS) = 0;
  DEVICE(device, STATUS) = ACKNOWLEDGE | DRIVER;
  DEVICE(device, DRIVER_FEATURES_SEL) = 0;
  DEVICE(device, DRIVER_FEATURES) = features;
  DEVICE(device, DRIVER_FEATURES_SEL) = 1;
  DEVICE(device, DRIVER_FEATURES) = FEATURE_VERSION_1;
  DEVICE(device, STATUS) = ACKNOWLEDGE | DRIVER | FEATURES_OK;
}

static void start_queue(unsigned device, unsigned number, volatile struct queue *queue) {
  DEVICE(device, QUEUE_SEL) = number;
  DEVICE(device, QUEUE_NUM) = SLOTS;
  DEVICE(device, QUEUE_DESC) = (uintptr_t)queue->descriptors;
  DEVICE(device, QUEUE_DRIVER) = (uintptr_t)&queue->given;
  DEVICE(device, QUEUE_DEVICE) = (uintptr_t)&queue->taken;
  DEVICE(device, QUEUE_READY) = 1;
}

static void give(unsigned device, unsigned number, volatile struct queue *queue, uint32_t slot,
                 void *buffer, uint32_t length, uint16_t flags) {
  queue->descriptors[slot].address = (uintptr_t)buffer;
  queue->descriptors[slot].length = length;
  queue->descriptors[slot].flags = flags;
  queue->given.ring[queue->given.index % SLOTS] = (uint16_t)slot;
  barrier();
  queue->given.index++;
  barrier();
  DEVICE(device, QUEUE_NOTIFY) = number;
}

/* Takes a buffer back that the device is done with, if there is one. */
static int take_back(volatile struct queue *queue, uint32_t *slot, uint32_t *length) {
  if (queue->seen == queue->taken.index) {
    return 0;
  }
  barrier();
  *slot = queue->taken.ring[queue->seen % SLOTS].slot;
  *length = queue->taken.ring[queue->seen % SLOTS].length;
  queue->seen++;
  return 1;
}

void virtio_acknowledge(unsigned device) {
  DEVICE(device, INTERRUPT_ACK) = DEVICE(device, INTERRUPT_STATUS);
}

/* ---- the random source ---- */

void board_random(void *bytes, size_t length) {
  static uint8_t buffer[64];
  static int is_started;
  uint8_t *to = bytes;
  if (!is_started) {
    start_device(RANDOM, ID_RANDOM, 0);
    start_queue(RANDOM, 0, &random_bytes);
    DEVICE(RANDOM, STATUS) = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
    is_started = 1;
  }
  while (length > 0) {
    uint32_t slot, got;
    give(RANDOM, 0, &random_bytes, 0, buffer, sizeof buffer, DEVICE_WRITES);
    while (!take_back(&random_bytes, &slot, &got)) {
    }
    got = got < length ? got : (uint32_t)length;
    memcpy(to, buffer, got);
    to += got;
    length -= got;
  }
}

/* ---- the card ---- */

static err_t send(struct netif *netif, struct pbuf *frame) {
  uint32_t slot, length;
  LWIP_UNUSED_ARG(netif);
  while (take_back(&sending, &slot, &length)) {
    free_slots |= (uint16_t)(1u << slot);
  }
  if (free_slots == 0 || frame->tot_len > FRAME) {
    card_counters.unsent++;
    return ERR_MEM;
  }
  for (slot = 0; (free_slots >> slot & 1) == 0; slot++) {
  }
  free_slots &= (uint16_t)~(1u << slot);
  memset(sent[slot], 0, HEADER);
  (void)pbuf_copy_partial(frame, sent[slot] + HEADER, frame->tot_len, 0);
  give(CARD, 1, &sending, slot, sent[slot], HEADER + frame->tot_len, 0);
  return ERR_OK;
}

err_t card_init(struct netif *netif) {
  uint32_t i;
  start_device(CARD, ID_CARD, FEATURE_MAC);
  for (i = 0; i < NETIF_MAX_HWADDR_LEN; i++) {
    netif->hwaddr[i] = ((volatile uint8_t *)&DEVICE(CARD, CONFIG))[i];
  }
  start_queue(CARD, 0, &receiving);
  start_queue(CARD, 1, &sending);
  DEVICE(CARD, STATUS) = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
  for (i = 0; i < SLOTS; i++) {
    give(CARD, 0, &receiving, i, received[i], sizeof received[i], DEVICE_WRITES);
  }
  virtio_enable_interrupt(CARD);
  netif->linkoutput = send;
  return ERR_OK;
}

void card_poll(struct netif *netif) {
  uint32_t slot, length;
  while (take_back(&receiving, &slot, &length)) {
    if (length > HEADER) {
      card_received(netif, received[slot] + HEADER, length - HEADER);
    }
    give(CARD, 0, &receiving, slot, received[slot], sizeof received[slot], DEVICE_WRITES);
  }
}
