#ifndef STDLIB_H
#define STDLIB_H

#include <stddef.h>

int atoi(const char *text);
_Noreturn void abort(void);

#endif
