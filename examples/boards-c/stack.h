/* How deep the stack has been, by painting it first. */
#ifndef STACK_H
#define STACK_H

#include <stdint.h>

/* Paints what is below the caller. */
void stack_paint(void);
/* Bytes below the caller that were written to since, or at least so many. */
uint32_t stack_touched(void);
/* Bytes that have been in use at once, and how many there are. */
uint32_t stack_used(void);
uint32_t stack_size(void);

#endif
