/* What people read. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdint.h>

void print_text(const char *text);
void print_number(uint32_t number);

#endif
