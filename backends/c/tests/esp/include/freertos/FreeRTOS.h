/* Stand-in for FreeRTOS: a task is a thread. */
#ifndef STAND_IN_FREERTOS_H
#define STAND_IN_FREERTOS_H
#include <stdint.h>
#define pdTRUE 1
#define pdPASS 1
#define portMAX_DELAY 0xffffffffu
#endif
