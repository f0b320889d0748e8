#include "esp_wireguard.h"

#include <stdbool.h>
#include <string.h>
#include <sys/time.h>

#include "esp_log.h"
#include "wg_esp_port.h"
#include "wg_lwip.h"

#ifndef CONFIG_WIREGUARD_MAX_TUNNELS
#define CONFIG_WIREGUARD_MAX_TUNNELS 1
#endif
#ifndef CONFIG_WIREGUARD_MAX_ALLOWED_IPS
#define CONFIG_WIREGUARD_MAX_ALLOWED_IPS 16
#endif
#if CONFIG_WIREGUARD_MAX_TUNNELS > 8
#error "CONFIG_WIREGUARD_MAX_TUNNELS is 8 at most"
#endif
/* The longest name of a text; DNS has names of 253. */
#define LONGEST_HOST 96

static const char *const TAG = "wireguard";

struct instance {
  const wireguard_ctx_t *ctx; /* NULL while it is free */
  struct wg_lwip tunnel;
  wg_peer peer;
  char host[LONGEST_HOST]; /* of a text */
  union {
    uint64_t align;
    unsigned char bytes[WG_STORAGE_SIZE(1, CONFIG_WIREGUARD_MAX_ALLOWED_IPS)];
  } storage;
};

/* No heap: they are looked for by their context. Touched with lwIP's core locked. */
static struct instance instances[CONFIG_WIREGUARD_MAX_TUNNELS];

static struct instance *find(const wireguard_ctx_t *ctx) {
  size_t i;
  for (i = 0; i < CONFIG_WIREGUARD_MAX_TUNNELS; i++) {
    if (instances[i].ctx == ctx) {
      return &instances[i];
    }
  }
  return NULL;
}

static void work(void) {
  size_t i;
  for (i = 0; i < CONFIG_WIREGUARD_MAX_TUNNELS; i++) {
    if (instances[i].ctx != NULL) {
      (void)wg_lwip_work(&instances[i].tunnel);
    }
  }
}

/* A call that runs with the core locked. */
struct call {
  wireguard_ctx_t *ctx;
  const char *text;
  size_t length;
  const char *ip, *mask;
  time_t *time;
  const char *why;
  esp_err_t result;
};

static esp_err_t run(void (*body)(void *), struct call *call) {
  wg_esp_locked(body, call);
  return call->result;
}

/* ---- settings ------------------------------------------------------------------------------------- */

static bool is_given(const char *text) { return text != NULL && text[0] != '\0'; }

/* The length of a mask's prefix; -1 for a mask with holes or none at all. */
static int mask_len(const char *text, uint8_t family) {
  struct wg_address mask;
  size_t bytes = family == 4 ? 4 : 16, i;
  int length = 0;
  if (!is_given(text)) {
    return family == 4 ? 32 : 128;
  }
  if (wg_parse_address(&mask, text) != WG_OK || mask.family != family) {
    return -1;
  }
  for (i = 0; i < bytes * 8; i++) {
    bool is_set = (mask.bytes[i / 8] >> (7 - i % 8) & 1) != 0;
    if (is_set && (size_t)length != i) {
      return -1;
    }
    length += is_set;
  }
  return length;
}

static esp_err_t wrong(const char *setting, int code) {
  ESP_LOGE(TAG, "%s: %s", setting, wg_lwip_strerror(code));
  return ESP_ERR_INVALID_ARG;
}

static esp_err_t check(const wireguard_config_t *config) {
  uint8_t key[WG_KEY_LEN];
  struct wg_address address;
  int result = is_given(config->private_key) ? wg_key_from_base64(key, config->private_key)
                                             : WG_ERR_KEY_LENGTH;
  wg_wipe_bytes(key, sizeof key);
  if (result != WG_OK) {
    return wrong("private_key", result);
  }
  result = is_given(config->public_key) ? wg_key_from_base64(key, config->public_key)
                                        : WG_ERR_KEY_LENGTH;
  if (result != WG_OK) {
    return wrong("public_key", result);
  }
  if (is_given(config->preshared_key)) {
    result = wg_key_from_base64(key, config->preshared_key);
    wg_wipe_bytes(key, sizeof key);
    if (result != WG_OK) {
      return wrong("preshared_key", result);
    }
  }
  if (!is_given(config->address) || wg_parse_address(&address, config->address) != WG_OK) {
    return wrong("address", WG_ERR_ADDRESS);
  }
  if (mask_len(config->netmask, address.family) < 0) {
    ESP_LOGE(TAG, "netmask: this is no mask, expected one like 255.255.255.0");
    return ESP_ERR_INVALID_ARG;
  }
  if (!is_given(config->endpoint) || strpbrk(config->endpoint, " \t\r\n") != NULL) {
    return wrong("endpoint", WG_LWIP_ERR_NAME);
  }
  if (config->port == 0) {
    return wrong("port", WG_ERR_ENDPOINT);
  }
  return ESP_OK;
}

/* ---- connecting ----------------------------------------------------------------------------------- */

static esp_err_t to_esp(int result) {
  switch (result) {
  case WG_OK:
    return ESP_OK;
  case WG_LWIP_ERR_MEMORY:
    return ESP_ERR_NO_MEM;
  case WG_LWIP_ERR_ADDRESS_IN_USE:
  case WG_LWIP_ERR_PORT_IN_USE:
  case WG_ERR_ROUTES_FULL:
    return ESP_FAIL;
  default:
    return ESP_ERR_INVALID_ARG;
  }
}

static void drop(struct instance *instance) {
  (void)wg_lwip_remove(&instance->tunnel);
  memset(instance, 0, sizeof *instance);
}

/* Adds an interface with this address for `ctx`; NULL after an error, which is in the log. */
static struct instance *add(struct call *call, struct wg_lwip_config *config) {
  struct instance *instance = find(NULL);
  struct wg_port port;
  int result;
  if (instance == NULL) {
    ESP_LOGE(TAG, "no room for another tunnel: raise CONFIG_WIREGUARD_MAX_TUNNELS");
    call->result = ESP_ERR_NO_MEM;
    return NULL;
  }
  if (!wg_esp_start(work)) {
    ESP_LOGE(TAG, "no memory for the tunnel's task");
    call->result = ESP_ERR_NO_MEM;
    return NULL;
  }
  port = wg_esp_port((unsigned)(instance - instances));
  config->storage = &instance->storage;
  config->storage_size = sizeof instance->storage;
  config->peers = 1;
  config->routes = CONFIG_WIREGUARD_MAX_ALLOWED_IPS;
  config->port = &port;
  config->now = wg_esp_now;
  config->defer = wg_esp_wake;
  config->is_always_up = true; /* as it was before: programs wait for the peer without sending */
  result = wg_lwip_add(&instance->tunnel, config);
  if (result != WG_OK) {
    ESP_LOGE(TAG, "%s", wg_lwip_strerror(result));
    call->result = to_esp(result);
    return NULL;
  }
  instance->ctx = call->ctx;
  return instance;
}

/* The last step, or the way back. */
static void added(struct call *call, struct instance *instance, int result) {
  uint8_t key[WG_KEY_LEN];
  char text[WG_KEY_TEXT_LEN];
  call->result = to_esp(result);
  if (result != WG_OK) {
    ESP_LOGE(TAG, "%s", wg_lwip_strerror(result));
    drop(instance);
    return;
  }
  (void)wg_connect(instance->tunnel.wg, wg_esp_now(NULL), instance->peer);
  (void)wg_lwip_drive(&instance->tunnel);
  call->ctx->netif_default = netif_default;
  call->ctx->netif = &instance->tunnel.netif;
  if (wg_own_public_key(instance->tunnel.wg, key) == WG_OK && wg_key_to_base64(text, key) == WG_OK) {
    ESP_LOGI(TAG, "begun; our public key is %s", text);
  }
}

static void connect(void *argument) {
  struct call *call = (struct call *)argument;
  const wireguard_config_t *settings = call->ctx->config;
  struct instance *instance = find(call->ctx);
  struct wg_lwip_config config;
  struct wg *wg;
  int result;
  if (instance != NULL) {
    (void)wg_connect(instance->tunnel.wg, wg_esp_now(NULL), instance->peer);
    (void)wg_lwip_drive(&instance->tunnel);
    call->result = ESP_OK;
    return;
  }
  call->result = check(settings);
  if (call->result != ESP_OK) {
    return;
  }
  memset(&config, 0, sizeof config);
  (void)wg_parse_address(&config.addresses[0], settings->address);
  config.prefix_lens[0] = (uint8_t)mask_len(settings->netmask, config.addresses[0].family);
  config.listen_port = settings->listen_port;
  instance = add(call, &config);
  if (instance == NULL) {
    return;
  }
  wg = instance->tunnel.wg;
  result = wg_set_private_key_base64(wg, wg_esp_now(NULL), settings->private_key);
  if (result == WG_OK) {
    result = wg_add_peer_base64(wg, settings->public_key, &instance->peer);
  }
  if (result == WG_OK && is_given(settings->preshared_key)) {
    result = wg_set_preshared_key_base64(wg, instance->peer, settings->preshared_key);
  }
  if (result == WG_OK) {
    result = wg_add_allowed_ip(wg, instance->peer, &config.addresses[0], config.prefix_lens[0]);
  }
  if (result == WG_OK) {
    result = wg_lwip_set_endpoint(&instance->tunnel, instance->peer, settings->endpoint, settings->port);
  }
  if (result == WG_OK) {
    result = wg_set_keepalive(wg, wg_esp_now(NULL), instance->peer, settings->persistent_keepalive);
  }
  added(call, instance, result);
}

static void connect_text(void *argument) {
  struct call *call = (struct call *)argument;
  struct instance *instance = find(call->ctx);
  struct wg_lwip_config config;
  struct wg_config told;
  uint8_t key[WG_KEY_LEN];
  uint16_t port = 0;
  size_t i;
  int result;
  if (instance != NULL) {
    drop(instance);
  }
  call->ctx->netif = NULL;
  result = wg_read_config(call->text, call->length, &told);
  if (result != WG_OK) {
    ESP_LOGE(TAG, "line %u, column %u: %s", (unsigned)told.line, (unsigned)told.column, told.sentence);
    call->result = ESP_ERR_INVALID_ARG;
    return;
  }
  memset(&config, 0, sizeof config);
  for (i = 0; i < WG_LWIP_ADDRESSES; i++) {
    config.addresses[i] = told.addresses[i];
    config.prefix_lens[i] = told.prefix_lens[i];
  }
  config.listen_port = told.listen_port;
  config.mtu = told.mtu;
  instance = add(call, &config);
  if (instance == NULL) {
    return;
  }
  result = wg_configure(instance->tunnel.wg, wg_esp_now(NULL), call->text, call->length, &told);
  if (result == WG_OK) {
    result = wg_config_endpoint(call->text, call->length, 0, key, instance->host,
                                sizeof instance->host, &port);
  }
  if (result == WG_OK) {
    result = wg_find_peer(instance->tunnel.wg, key, &instance->peer);
  }
  if (result == WG_OK && port != 0) {
    result = wg_lwip_set_endpoint(&instance->tunnel, instance->peer, instance->host, port);
  }
  added(call, instance, result);
}

esp_err_t esp_wireguard_init(wireguard_config_t *config, wireguard_ctx_t *ctx) {
  esp_err_t result;
  if (config == NULL || ctx == NULL) {
    return ESP_ERR_INVALID_ARG;
  }
  result = check(config);
  if (result != ESP_OK) {
    return result;
  }
  (void)esp_wireguard_disconnect(ctx);
  ctx->config = config;
  ctx->netif_default = NULL;
  return ESP_OK;
}

esp_err_t esp_wireguard_connect(wireguard_ctx_t *ctx) {
  struct call call = {.ctx = ctx};
  if (ctx == NULL || ctx->config == NULL) {
    ESP_LOGE(TAG, "not initialised: call esp_wireguard_init first");
    return ESP_ERR_INVALID_ARG;
  }
  return run(connect, &call);
}

esp_err_t esp_wireguard_connect_text(wireguard_ctx_t *ctx, const char *text, size_t length) {
  struct call call = {.ctx = ctx, .text = text, .length = length};
  if (ctx == NULL || text == NULL) {
    return ESP_ERR_INVALID_ARG;
  }
  ctx->config = NULL;
  return run(connect_text, &call);
}

static void disconnect(void *argument) {
  struct call *call = (struct call *)argument;
  struct instance *instance = find(call->ctx);
  if (instance != NULL) {
    drop(instance);
  }
  call->ctx->netif = NULL;
  call->result = ESP_OK;
}

esp_err_t esp_wireguard_disconnect(wireguard_ctx_t *ctx) {
  struct call call = {.ctx = ctx};
  return ctx == NULL ? ESP_ERR_INVALID_ARG : run(disconnect, &call);
}

/* ---- a tunnel that is there ----------------------------------------------------------------------- */

static void set_default(void *argument) {
  struct call *call = (struct call *)argument;
  struct instance *instance = find(call->ctx);
  bool is_done = instance != NULL && wg_lwip_set_default(&instance->tunnel) == WG_OK;
  call->result = is_done ? ESP_OK : ESP_ERR_INVALID_STATE;
}

static void restore_default(void *argument) {
  struct call *call = (struct call *)argument;
  struct instance *instance = find(call->ctx);
  bool is_done = instance != NULL && wg_lwip_restore_default(&instance->tunnel) == WG_OK;
  call->result = is_done ? ESP_OK : ESP_ERR_INVALID_STATE;
}

static void peer_is_up(void *argument) {
  struct call *call = (struct call *)argument;
  struct instance *instance = find(call->ctx);
  struct wg_status status;
  call->result = ESP_FAIL;
  call->why = "not connected: call esp_wireguard_connect";
  if (instance != NULL &&
      wg_get_status(instance->tunnel.wg, wg_esp_now(NULL), instance->peer, &status) == WG_OK) {
    call->result = status.connection == WG_OK ? ESP_OK : ESP_FAIL;
    call->why = status.connection == WG_OK ? "connected" : wg_strerror(status.connection);
  }
}

static void latest_handshake(void *argument) {
  struct call *call = (struct call *)argument;
  struct instance *instance = find(call->ctx);
  struct wg_status status;
  struct timeval now;
  uint64_t time = wg_esp_now(NULL);
  call->result = ESP_ERR_INVALID_STATE;
  if (instance == NULL ||
      wg_get_status(instance->tunnel.wg, time, instance->peer, &status) != WG_OK) {
    return;
  }
  if (status.last_handshake == WG_NEVER) {
    call->result = ESP_FAIL;
  } else if (gettimeofday(&now, NULL) == 0 && now.tv_sec > 1735689600) { /* 2025 */
    *call->time = now.tv_sec - (time_t)((time - status.last_handshake) / 1000000u);
    call->result = ESP_OK;
  }
}

static void add_allowed_ip(void *argument) {
  struct call *call = (struct call *)argument;
  struct instance *instance = find(call->ctx);
  struct wg_address address;
  int length, result = wg_parse_address(&address, call->ip);
  if (instance == NULL) {
    call->result = ESP_ERR_INVALID_STATE;
    return;
  }
  length = result == WG_OK ? mask_len(call->mask, address.family) : -1;
  if (length < 0) {
    ESP_LOGE(TAG, "%s with the mask %s is no prefix", call->ip, call->mask != NULL ? call->mask : "");
    call->result = ESP_ERR_INVALID_ARG;
    return;
  }
  result = wg_add_allowed_ip(instance->tunnel.wg, instance->peer, &address, (uint8_t)length);
  if (result != WG_OK) {
    ESP_LOGE(TAG, "%s", wg_strerror(result));
  }
  call->result = to_esp(result);
}

esp_err_t esp_wireguard_set_default(wireguard_ctx_t *ctx) {
  struct call call = {.ctx = ctx};
  return ctx == NULL ? ESP_ERR_INVALID_ARG : run(set_default, &call);
}

esp_err_t esp_wireguard_restore_default(const wireguard_ctx_t *ctx) {
  struct call call = {.ctx = (wireguard_ctx_t *)ctx};
  return ctx == NULL ? ESP_ERR_INVALID_ARG : run(restore_default, &call);
}

esp_err_t esp_wireguard_peer_is_up(const wireguard_ctx_t *ctx) {
  struct call call = {.ctx = (wireguard_ctx_t *)ctx};
  return ctx == NULL ? ESP_ERR_INVALID_ARG : run(peer_is_up, &call);
}

const char *esp_wireguard_why(const wireguard_ctx_t *ctx) {
  struct call call = {.ctx = (wireguard_ctx_t *)ctx};
  if (ctx == NULL) {
    return wg_strerror(WG_ERR_NULL);
  }
  (void)run(peer_is_up, &call);
  return call.why;
}

esp_err_t esp_wireguard_latest_handshake(const wireguard_ctx_t *ctx, time_t *result) {
  struct call call = {.ctx = (wireguard_ctx_t *)ctx, .time = result};
  return ctx == NULL || result == NULL ? ESP_ERR_INVALID_ARG : run(latest_handshake, &call);
}

esp_err_t esp_wireguard_add_allowed_ip(const wireguard_ctx_t *ctx, const char *allowed_ip,
                                       const char *allowed_ip_mask) {
  struct call call = {.ctx = (wireguard_ctx_t *)ctx, .ip = allowed_ip, .mask = allowed_ip_mask};
  if (ctx == NULL || !is_given(allowed_ip)) {
    return ESP_ERR_INVALID_ARG;
  }
  return run(add_allowed_ip, &call);
}
