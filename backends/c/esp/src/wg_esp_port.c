#include "wg_esp_port.h"

#include <string.h>
#include <sys/time.h>

#include "esp_netif.h"
#include "esp_random.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "lwip/tcpip.h"
#include "nvs.h"
#include "nvs_flash.h"

#if !LWIP_TCPIP_CORE_LOCKING
#error "the tunnel's task locks lwIP's core: set CONFIG_LWIP_TCPIP_CORE_LOCKING=y (Arduino core 3 has it)"
#endif

/* A handshake takes 4 KB of it, and what comes out of the tunnel is handled on top of a packet. */
#define STACK 6144
/* Above the application, below lwIP and Wi-Fi. */
#define PRIORITY 5
#define NVS_NAMESPACE "wireguard"

static TaskHandle_t task;
static void (*work)(void);
static const uint8_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7};

/* ---- callbacks ------------------------------------------------------------------------------------ */

static int random_bytes(void *context, uint8_t *bytes, size_t length) {
  (void)context;
  /* True randomness while the radio or an entropy source is on, which it is when there is a network. */
  esp_fill_random(bytes, length);
  return 0;
}

static int unix_time(void *context, uint64_t *seconds, uint32_t *nanoseconds) {
  struct timeval now;
  (void)context;
  if (gettimeofday(&now, NULL) != 0 || now.tv_sec < 0) {
    return -1;
  }
  *seconds = (uint64_t)now.tv_sec;
  *nanoseconds = (uint32_t)now.tv_usec * 1000u;
  return 0;
}

static void key_of(const void *context, char key[8]) {
  memcpy(key, "stamp0", 7);
  key[5] = (char)('0' + *(const uint8_t *)context);
}

static int load(void *context, uint8_t record[WG_RECORD_LEN]) {
  nvs_handle_t nvs;
  char key[8];
  size_t length = WG_RECORD_LEN;
  esp_err_t result = nvs_open(NVS_NAMESPACE, NVS_READONLY, &nvs);
  if (result == ESP_ERR_NVS_NOT_FOUND) {
    return WG_NONE;
  }
  if (result != ESP_OK) {
    return -1;
  }
  key_of(context, key);
  result = nvs_get_blob(nvs, key, record, &length);
  nvs_close(nvs);
  if (result == ESP_ERR_NVS_NOT_FOUND) {
    return WG_NONE;
  }
  return result == ESP_OK && length == WG_RECORD_LEN ? 0 : -1;
}

static int save(void *context, const uint8_t record[WG_RECORD_LEN]) {
  nvs_handle_t nvs;
  char key[8];
  esp_err_t result = nvs_open(NVS_NAMESPACE, NVS_READWRITE, &nvs);
  if (result != ESP_OK) {
    return -1;
  }
  key_of(context, key);
  result = nvs_set_blob(nvs, key, record, WG_RECORD_LEN);
  if (result == ESP_OK) {
    result = nvs_commit(nvs);
  }
  nvs_close(nvs);
  return result == ESP_OK ? 0 : -1;
}

struct wg_port wg_esp_port(unsigned number) {
  struct wg_port port;
  port.context = (void *)&numbers[number % sizeof numbers];
  port.random = random_bytes;
  port.unix_time = unix_time;
  port.load = load;
  port.save = save;
  return port;
}

uint64_t wg_esp_now(void *context) {
  (void)context;
  return (uint64_t)esp_timer_get_time();
}

/* ---- the task ------------------------------------------------------------------------------------- */

static void run(void *argument) {
  (void)argument;
  for (;;) {
    (void)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
    LOCK_TCPIP_CORE();
    work();
    UNLOCK_TCPIP_CORE();
  }
}

bool wg_esp_start(void (*body)(void)) {
  if (task == NULL) {
    work = body;
    /* Where the program has done it already, this does nothing. */
    (void)nvs_flash_init();
    if (xTaskCreate(run, "wireguard", STACK, NULL, PRIORITY, &task) != pdPASS) {
      task = NULL;
    }
  }
  return task != NULL;
}

void wg_esp_wake(void *context) {
  (void)context;
  if (task != NULL) {
    (void)xTaskNotifyGive(task);
  }
}

void wg_esp_locked(void (*body)(void *argument), void *argument) {
  bool is_held;
  /* Before Wi-Fi there is no lwIP yet; a second call does nothing. */
  (void)esp_netif_init();
  /* The lock is not recursive, and ESPHome holds it in some calls and not in others. */
  is_held = sys_thread_tcpip(LWIP_CORE_LOCK_QUERY_HOLDER);
  if (!is_held) {
    LOCK_TCPIP_CORE();
  }
  body(argument);
  if (!is_held) {
    UNLOCK_TCPIP_CORE();
  }
}
