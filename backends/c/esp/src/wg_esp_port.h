/* What the tunnel asks of an ESP32: randomness, time, 16 bytes of NVS, a task. */
#ifndef WG_ESP_PORT_H
#define WG_ESP_PORT_H

#include <stdbool.h>

#include "wg.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The callbacks, for a tunnel of this number, from 0; it chooses the record in NVS. */
struct wg_port wg_esp_port(unsigned number);
uint64_t wg_esp_now(void *context);

/* Starts the task that calls `work` after each wg_esp_wake; once. False without memory for it. */
bool wg_esp_start(void (*work)(void));
void wg_esp_wake(void *context);

/* Runs `body` where lwIP may be called, also when the caller has locked its core already. */
void wg_esp_locked(void (*body)(void *argument), void *argument);

#ifdef __cplusplus
}
#endif

#endif
