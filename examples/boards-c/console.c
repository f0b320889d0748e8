#include "console.h"

#include <string.h>

#include "board.h"

void print_text(const char *text) { board_write(text, strlen(text)); }

void print_number(uint32_t number) {
  char digits[10];
  size_t first = sizeof digits;
  do {
    digits[--first] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  board_write(digits + first, sizeof digits - first);
}
