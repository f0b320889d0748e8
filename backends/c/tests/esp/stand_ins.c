/* What ESP-IDF does for the tunnel, on this machine. */
#include "stand_ins.h"

#include <pthread.h>
#include <stdarg.h>
#include <unistd.h>

#include "esp_netif.h"
#include "esp_random.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "lwip/tcpip.h"
#include "nvs.h"
#include "nvs_flash.h"

char last_error[256];
bool nvs_fails;

void stand_in_log(char level, const char *tag, const char *format, ...) {
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  CHECK(strcmp(tag, "wireguard") == 0);
  if (level == 'E') {
    memcpy(last_error, line, sizeof line);
  }
}

void esp_fill_random(void *bytes, size_t length) {
  static uint64_t seed = 77;
  uint8_t *to = bytes;
  for (size_t i = 0; i < length; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    to[i] = (uint8_t)(seed >> 56);
  }
}

int64_t esp_timer_get_time(void) { return (int64_t)time_us; }
esp_err_t esp_netif_init(void) { return ESP_OK; }
esp_err_t nvs_flash_init(void) { return ESP_OK; }

/* ---- NVS ------------------------------------------------------------------------------------------ */

static uint8_t record[16];
static bool has_record;

esp_err_t nvs_open(const char *name, nvs_open_mode_t mode, nvs_handle_t *handle) {
  CHECK(strcmp(name, "wireguard") == 0);
  if (nvs_fails) {
    return ESP_FAIL;
  }
  *handle = 5;
  return has_record || mode == NVS_READWRITE ? ESP_OK : ESP_ERR_NVS_NOT_FOUND;
}

esp_err_t nvs_get_blob(nvs_handle_t handle, const char *key, void *value, size_t *length) {
  CHECK(handle == 5 && strcmp(key, "stamp0") == 0 && *length == sizeof record);
  memcpy(value, record, sizeof record);
  return has_record ? ESP_OK : ESP_ERR_NVS_NOT_FOUND;
}

esp_err_t nvs_set_blob(nvs_handle_t handle, const char *key, const void *value, size_t length) {
  CHECK(handle == 5 && strcmp(key, "stamp0") == 0 && length == sizeof record);
  memcpy(record, value, sizeof record);
  return ESP_OK;
}

esp_err_t nvs_commit(nvs_handle_t handle) {
  CHECK(handle == 5);
  has_record = true;
  return ESP_OK;
}

void nvs_close(nvs_handle_t handle) { CHECK(handle == 5); }

/* ---- the core lock, whose holder ESP-IDF can tell ------------------------------------------------- */

static __thread bool is_holder;

void stand_in_lock(void) {
  CHECK(!is_holder); /* it is not recursive */
  sys_lock_tcpip_core();
  is_holder = true;
}

void stand_in_unlock(void) {
  CHECK(is_holder);
  is_holder = false;
  sys_unlock_tcpip_core();
}

bool sys_thread_tcpip(int query) {
  CHECK(query == LWIP_CORE_LOCK_QUERY_HOLDER);
  return is_holder;
}

/* ---- the task ------------------------------------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint32_t notified;
static bool waits = true;
static void (*task_body)(void *);

static void *task_runs(void *argument) {
  task_body(argument);
  return NULL;
}

int xTaskCreate(void (*body)(void *), const char *name, uint32_t stack, void *argument,
                unsigned priority, TaskHandle_t *task) {
  pthread_t thread;
  CHECK(name != NULL && stack >= 6144 && priority > 0 && task_body == NULL);
  task_body = body;
  waits = false;
  CHECK(pthread_create(&thread, NULL, task_runs, argument) == 0);
  CHECK(pthread_detach(thread) == 0);
  *task = (TaskHandle_t)&task_body;
  return pdPASS;
}

uint32_t ulTaskNotifyTake(int clear, uint32_t ticks) {
  CHECK(clear && ticks == portMAX_DELAY);
  (void)pthread_mutex_lock(&mutex);
  waits = true;
  (void)pthread_cond_broadcast(&changed);
  while (notified == 0) {
    (void)pthread_cond_wait(&changed, &mutex);
  }
  uint32_t count = notified;
  notified = 0;
  waits = false;
  (void)pthread_mutex_unlock(&mutex);
  return count;
}

int xTaskNotifyGive(TaskHandle_t task) {
  CHECK(task != NULL);
  (void)pthread_mutex_lock(&mutex);
  notified++;
  (void)pthread_cond_broadcast(&changed);
  (void)pthread_mutex_unlock(&mutex);
  return pdPASS;
}

/* Until the task has nothing to do. Called without the core lock. */
void settle(void) {
  (void)pthread_mutex_lock(&mutex);
  while (notified != 0 || !waits) {
    (void)pthread_cond_wait(&changed, &mutex);
  }
  (void)pthread_mutex_unlock(&mutex);
}
