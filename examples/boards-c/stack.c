#include "stack.h"

extern uint32_t _stack_bottom[], _stack_top[];

#define PAINT 0xa5c33c5au
/* The frame of the function that paints, and what is saved below it. */
#define IN_USE 128

__attribute__((noinline)) void stack_paint(void) {
  volatile uint32_t here = 0;
  volatile uint32_t *at = _stack_bottom, *end = &here - IN_USE / 4;
  while (at < end) {
    *at++ = PAINT;
  }
}

static uint32_t *deepest(void) {
  uint32_t *at = _stack_bottom;
  while (at < _stack_top && *at == PAINT) {
    at++;
  }
  return at;
}

__attribute__((noinline)) uint32_t stack_touched(void) {
  volatile uint32_t here = 0;
  return (uint32_t)((const char *)&here - (const char *)deepest());
}

uint32_t stack_used(void) { return (uint32_t)((const char *)_stack_top - (const char *)deepest()); }

uint32_t stack_size(void) { return (uint32_t)((const char *)_stack_top - (const char *)_stack_bottom); }
