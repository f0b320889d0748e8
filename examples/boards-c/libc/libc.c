/* The C library's functions that lwIP and the tunnel call, and the compiler's own: the boards have no
 * other C library. Compiled with -fno-builtin, or the loops would be calls of themselves. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../board.h"

void *memcpy(void *to, const void *from, size_t length) {
  uint8_t *t = to;
  const uint8_t *f = from;
  if ((((uintptr_t)t | (uintptr_t)f) & 3) == 0) {
    for (; length >= 4; length -= 4, t += 4, f += 4) {
      *(uint32_t *)(void *)t = *(const uint32_t *)(const void *)f;
    }
  }
  while (length-- > 0) {
    *t++ = *f++;
  }
  return to;
}

void *memmove(void *to, const void *from, size_t length) {
  uint8_t *t = to;
  const uint8_t *f = from;
  if (t <= f || t >= f + length) {
    return memcpy(to, from, length);
  }
  while (length-- > 0) {
    t[length] = f[length];
  }
  return to;
}

void *memset(void *to, int byte, size_t length) {
  uint8_t *t = to;
  while (length-- > 0) {
    *t++ = (uint8_t)byte;
  }
  return to;
}

int memcmp(const void *a, const void *b, size_t length) {
  const uint8_t *x = a, *y = b;
  for (; length > 0; length--, x++, y++) {
    if (*x != *y) {
      return *x < *y ? -1 : 1;
    }
  }
  return 0;
}

void *memchr(const void *in, int byte, size_t length) {
  const uint8_t *at = in;
  for (; length > 0; length--, at++) {
    if (*at == (uint8_t)byte) {
      return (void *)(uintptr_t)at;
    }
  }
  return NULL;
}

size_t strlen(const char *text) {
  const char *end = text;
  while (*end != '\0') {
    end++;
  }
  return (size_t)(end - text);
}

int strncmp(const char *a, const char *b, size_t length) {
  for (; length > 0; length--, a++, b++) {
    if (*a != *b || *a == '\0') {
      return (uint8_t)*a - (uint8_t)*b;
    }
  }
  return 0;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

char *strncpy(char *to, const char *from, size_t length) {
  size_t i;
  for (i = 0; i < length; i++) {
    to[i] = *from;
    from += *from != '\0';
  }
  return to;
}

int atoi(const char *text) {
  int number = 0, is_negative = *text == '-';
  for (text += is_negative; *text >= '0' && *text <= '9'; text++) {
    number = 10 * number + (*text - '0');
  }
  return is_negative ? -number : number;
}

void abort(void) { board_exit(1); }

/* What compilers for 32 bits call for a division of 64. */
uint64_t __udivdi3(uint64_t number, uint64_t by) {
  uint64_t quotient = 0, rest = 0;
  int bit;
  for (bit = 63; bit >= 0; bit--) {
    rest = rest << 1 | (number >> bit & 1);
    if (rest >= by) {
      rest -= by;
      quotient |= (uint64_t)1 << bit;
    }
  }
  return quotient;
}
