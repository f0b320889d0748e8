/* Stand-in for ESP-IDF's. */
#include <stdint.h>
#include "esp_err.h"
esp_err_t esp_sleep_enable_timer_wakeup(uint64_t microseconds);
[[noreturn]] void esp_deep_sleep_start();
