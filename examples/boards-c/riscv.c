/* QEMU's `virt` machine with one RV32IMC processor and virtio devices. No interrupt is ever taken: one
 * that is pending ends the processor's sleep, and the main loop looks after the device. */
#include "board.h"
#include "console.h"
#include "virtio.h"

#define EXIT (*(volatile uint32_t *)0x00100000)
#define MTIMECMP ((volatile uint32_t *)0x02004000)
#define MTIME ((volatile uint32_t *)0x0200bff8)
#define MTIME_MHZ 10
#define PLIC 0x0c000000u
#define CONSOLE (*(volatile uint8_t *)0x10000000)

/* The second of two flash memories; the first is for a boot loader. */
volatile uint32_t *const board_flash = (volatile uint32_t *)0x22000000;
const uint32_t board_flash_sector = 256 * 1024;

__attribute__((naked, section(".text.start"))) void _start(void) {
  __asm__("la sp, _stack_top\n"
          "la t0, _bss_start\n"
          "la t1, _bss_end\n"
          "1: bgeu t0, t1, 2f\n"
          "sw zero, 0(t0)\n"
          "addi t0, t0, 4\n"
          "j 1b\n"
          "2: la t0, trap\n"
          "csrw mtvec, t0\n"
          /* The timer and devices end a sleep; mstatus.MIE stays off, so none interrupts. */
          "li t0, 0x880\n"
          "csrw mie, t0\n"
          "call main\n");
}

/* Any exception: an error of ours. */
__attribute__((used, section(".text.trap"))) void trap(void) {
  uint32_t cause, at;
  __asm__ volatile("csrr %0, mcause" : "=r"(cause));
  __asm__ volatile("csrr %0, mepc" : "=r"(at));
  print_text("trap "), print_number(cause), print_text(" at "), print_number(at), print_text("\n");
  board_exit(1);
}

void board_exit(int failed) {
  for (;;) {
    EXIT = failed ? 0x13333 : 0x5555;
  }
}

void board_write(const char *text, size_t length) {
  while (length-- > 0) {
    CONSOLE = (uint8_t)*text++;
  }
}

uint64_t board_micros(void) {
  uint32_t high, low;
  do { /* The upper word may move on between the reads. */
    high = MTIME[1];
    low = MTIME[0];
  } while (MTIME[1] != high);
  return ((uint64_t)high << 32 | low) / MTIME_MHZ;
}

void board_sleep_until(uint64_t micros) {
  uint64_t at = micros * MTIME_MHZ;
  volatile uint32_t *claim = (volatile uint32_t *)(PLIC + 0x200004);
  uint32_t interrupt;
  /* With the low word at its greatest first, no time in between is too early. */
  MTIMECMP[0] = UINT32_MAX;
  MTIMECMP[1] = (uint32_t)(at >> 32);
  MTIMECMP[0] = (uint32_t)at;
  __asm__ volatile("wfi");
  while ((interrupt = *claim) != 0) {
    virtio_acknowledge(interrupt - 1);
    *claim = interrupt;
  }
}

void virtio_enable_interrupt(unsigned device) {
  unsigned interrupt = device + 1;
  *(volatile uint32_t *)(PLIC + 4 * interrupt) = 1;
  *(volatile uint32_t *)(PLIC + 0x2000) |= 1u << interrupt;
}
