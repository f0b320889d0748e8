/* QEMU's `lx60` machine: an Xtensa processor as in the ESP32, with an OpenCores Ethernet MAC. Start-up and
 * the emulator's calls are those of the firmware in Rust: xtask/xtensa/asm/start.s. */
#include "board.h"
#include "console.h"

void sim_write(const void *bytes, uint32_t length);
_Noreturn void sim_exit(uint32_t code);
int32_t sim_open(const char *name, uint32_t flags);
int32_t sim_read(int32_t file, void *bytes, uint32_t length);
uint32_t cycle_count(void);
void sleep_for(uint32_t interrupts, uint32_t ticks);

#define CCOUNT_MHZ 10
#define INTERRUPT_CARD (1u << 1)
#define INTERRUPT_TIMER (1u << 6)

volatile uint32_t *const board_flash = (volatile uint32_t *)0xf8000000;
const uint32_t board_flash_sector = 64 * 1024;

void unexpected_exception(uint32_t cause, uint32_t at) {
  print_text("exception "), print_number(cause), print_text(" at "), print_number(at), print_text("\n");
  sim_exit(1);
}

void board_exit(int failed) { sim_exit(failed != 0); }

void board_write(const char *text, size_t length) { sim_write(text, length); }

/* The counter comes round every 429 s: it is looked at more often. */
uint64_t board_micros(void) {
  static uint64_t seen;
  seen += (uint32_t)(cycle_count() - (uint32_t)seen);
  return seen / CCOUNT_MHZ;
}

/* The machine has no random source; the emulator's host has. */
void board_random(void *bytes, size_t length) {
  static int32_t file = -1;
  if (file < 0) {
    file = sim_open("/dev/urandom", 0);
  }
  if (file < 0 || sim_read(file, bytes, length) != (int32_t)length) {
    print_text("no random bytes\n");
    board_exit(1);
  }
}

/* ---- the card ---- */

#define CARD(offset) (*(volatile uint32_t *)(0xfd030000u + (offset)))
enum {
  MODER = 0x00,
  INT_SOURCE = 0x04,
  INT_MASK = 0x08,
  TX_BD_NUM = 0x20,
  MAC_ADDR0 = 0x40,
  MAC_ADDR1 = 0x44,
  HASH0 = 0x48,
  HASH1 = 0x4c,
  DESCRIPTORS = 0x400 /* two words for each frame; those to send come first */
};
/* Receive and send, full duplex, make checksums, pad short frames. */
#define RUN (1u | 1u << 1 | 1u << 10 | 1u << 13 | 1u << 15)
#define ANY 0x1fu
/* In both kinds of descriptor: the card has the frame; interrupt when done; the last one. */
#define LENT (1u << 15)
#define INTERRUPT (1u << 14)
#define LAST (1u << 13)
#define PAD_AND_CHECK (1u << 12 | 1u << 11)
#define BAD 0x7fu

#define SLOTS 16
#define FRAME 1514
#define CHECKSUM 4

static _Alignas(4) uint8_t sent[SLOTS][FRAME + CHECKSUM + 2], received[SLOTS][FRAME + CHECKSUM + 2];
static unsigned next_sent, next_received = SLOTS;
struct card_counters card_counters;

#define DESCRIPTOR(index) CARD(DESCRIPTORS + 8 * (index))
#define BUFFER(index) CARD(DESCRIPTORS + 8 * (index) + 4)

void board_sleep_until(uint64_t micros) {
  uint64_t now = board_micros(), left = micros > now ? micros - now : 0;
  const uint64_t longest = 100000000; /* Not for longer than the counter can tell. */
  if (left > 0) {
    sleep_for(INTERRUPT_CARD | INTERRUPT_TIMER, (uint32_t)(left < longest ? left : longest) * CCOUNT_MHZ);
  }
  CARD(INT_SOURCE) = ANY;
}

static uint32_t last(unsigned index) { return index % SLOTS == SLOTS - 1 ? LAST : 0; }

static err_t send(struct netif *netif, struct pbuf *frame) {
  unsigned slot = next_sent;
  LWIP_UNUSED_ARG(netif);
  if ((DESCRIPTOR(slot) & LENT) != 0 || frame->tot_len > FRAME) {
    card_counters.unsent++;
    return ERR_MEM;
  }
  (void)pbuf_copy_partial(frame, sent[slot], frame->tot_len, 0);
  DESCRIPTOR(slot) = (uint32_t)frame->tot_len << 16 | LENT | INTERRUPT | last(slot) | PAD_AND_CHECK;
  next_sent = (slot + 1) % SLOTS;
  return ERR_OK;
}

err_t card_init(struct netif *netif) {
  static const uint8_t address[] = {0x52, 0x54, 0x00, 0x00, 0x00, 0x03}; /* The machine does not tell. */
  unsigned i;
  for (i = 0; i < sizeof address; i++) {
    netif->hwaddr[i] = address[i];
  }
  CARD(MODER) = 0;
  CARD(MAC_ADDR0) = 0x00000003;
  CARD(MAC_ADDR1) = 0x5254;
  /* Every multicast: whoever asks for a neighbour's IPv6 address calls by one. */
  CARD(HASH0) = UINT32_MAX;
  CARD(HASH1) = UINT32_MAX;
  CARD(TX_BD_NUM) = SLOTS;
  for (i = 0; i < SLOTS; i++) {
    DESCRIPTOR(i) = last(i);
    BUFFER(i) = (uint32_t)(uintptr_t)sent[i];
    BUFFER(SLOTS + i) = (uint32_t)(uintptr_t)received[i];
    DESCRIPTOR(SLOTS + i) = LENT | INTERRUPT | last(i);
  }
  CARD(INT_SOURCE) = ANY;
  CARD(INT_MASK) = ANY;
  CARD(MODER) = RUN;
  netif->linkoutput = send;
  return ERR_OK;
}

void card_poll(struct netif *netif) {
  uint32_t state;
  while (((state = DESCRIPTOR(next_received)) & LENT) == 0) {
    uint32_t length = state >> 16;
    if ((state & BAD) == 0 && length > CHECKSUM && length <= FRAME + CHECKSUM) {
      card_received(netif, received[next_received - SLOTS], length - CHECKSUM);
    }
    DESCRIPTOR(next_received) = LENT | INTERRUPT | last(next_received);
    next_received = SLOTS + (next_received + 1) % SLOTS;
  }
}
