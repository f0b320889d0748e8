/* What lwIP asks of a compiler and a board. */
#ifndef ARCH_CC_H
#define ARCH_CC_H

#include <stdint.h>

#define BYTE_ORDER 1234 /* LITTLE_ENDIAN */
#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_UNISTD_H 1
#define X8_F "x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "u"

void assertion(const char *text);
#define LWIP_PLATFORM_ASSERT(text) assertion(text)
#define LWIP_PLATFORM_DIAG(text)
uint32_t board_rand(void);
#define LWIP_RAND() board_rand()

#endif
