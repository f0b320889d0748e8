/* The board's flash memory, which has the command set of Intel's.
 *
 * The first sector holds a wg-quick file, up to the first erased byte; the two after it, in turns, the
 * record of the handshakes' timestamps. */
#ifndef FLASH_H
#define FLASH_H

#include <stddef.h>
#include <stdint.h>

/* The text of the wg-quick file; NULL when there is none. */
const char *flash_text(size_t *length);
/* As struct wg_port asks for. */
int flash_load(void *context, uint8_t *record);
int flash_save(void *context, const uint8_t *record);

#endif
