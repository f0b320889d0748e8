#include "WireGuard-ESP32.h"

#include <string.h>

#include "wg.h"

/* Copies a text with its end; false when it is NULL or too long. */
template <size_t N>
static bool copy(char (&to)[N], const char *from) {
  size_t length = from == nullptr ? N : strnlen(from, N);
  if (length >= N) {
    return false;
  }
  memcpy(to, from, length + 1);
  return true;
}

static void print(char (&to)[16], const IPAddress &address) {
  size_t at = 0;
  for (int i = 0; i < 4; i++) {
    unsigned byte = address[i];
    if (i > 0) {
      to[at++] = '.';
    }
    if (byte >= 100) {
      to[at++] = static_cast<char>('0' + byte / 100);
    }
    if (byte >= 10) {
      to[at++] = static_cast<char>('0' + byte / 10 % 10);
    }
    to[at++] = static_cast<char>('0' + byte % 10);
  }
  to[at] = '\0';
}

bool WireGuard::start(const IPAddress &localIP, const char *netmask, const char *privateKey,
                      const char *remotePeerAddress, const char *remotePeerPublicKey,
                      uint16_t remotePeerPort) {
  /* The old texts may be in use, so look at the new ones first. */
  wireguard_config_t config = ESP_WIREGUARD_CONFIG_DEFAULT();
  wireguard_ctx_t unused = ESP_WIREGUARD_CONTEXT_DEFAULT();
  char address[16];
  print(address, localIP);
  config.private_key = privateKey;
  config.public_key = remotePeerPublicKey;
  config.address = address;
  config.netmask = netmask;
  config.endpoint = remotePeerAddress;
  config.port = remotePeerPort;
  if (esp_wireguard_init(&config, &unused) != ESP_OK) {
    return false;
  }
  if (strlen(remotePeerAddress) >= sizeof _endpoint) {
    return false;
  }
  end();
  if (!copy(_privateKey, privateKey) || !copy(_publicKey, remotePeerPublicKey) ||
      !copy(_address, address) || !copy(_netmask, netmask) || !copy(_endpoint, remotePeerAddress)) {
    return false;
  }
  _config = config;
  _config.listen_port = 0;
  _config.private_key = _privateKey;
  _config.public_key = _publicKey;
  _config.preshared_key = _presharedKey;
  _config.address = _address;
  _config.netmask = _netmask;
  _config.endpoint = _endpoint;
  _config.persistent_keepalive = _keepalive;
  _is_initialized = esp_wireguard_init(&_config, &_ctx) == ESP_OK &&
                    esp_wireguard_connect(&_ctx) == ESP_OK &&
                    esp_wireguard_add_allowed_ip(&_ctx, "0.0.0.0", "0.0.0.0") == ESP_OK &&
                    esp_wireguard_set_default(&_ctx) == ESP_OK;
  if (!_is_initialized) {
    (void)esp_wireguard_disconnect(&_ctx);
    wg_wipe_bytes(_privateKey, sizeof _privateKey);
  }
  return _is_initialized;
}

bool WireGuard::begin(const IPAddress &localIP, const IPAddress &subnet, const IPAddress &gateway,
                      const char *privateKey, const char *remotePeerAddress,
                      const char *remotePeerPublicKey, uint16_t remotePeerPort) {
  char netmask[16];
  (void)gateway;
  print(netmask, subnet);
  return start(localIP, netmask, privateKey, remotePeerAddress, remotePeerPublicKey, remotePeerPort);
}

bool WireGuard::begin(const IPAddress &localIP, const char *privateKey, const char *remotePeerAddress,
                      const char *remotePeerPublicKey, uint16_t remotePeerPort) {
  return start(localIP, "255.255.255.255", privateKey, remotePeerAddress, remotePeerPublicKey,
               remotePeerPort);
}

bool WireGuard::begin(const char *wgQuickText) {
  if (wgQuickText == nullptr) {
    return false;
  }
  end();
  _is_initialized = esp_wireguard_connect_text(&_ctx, wgQuickText, strlen(wgQuickText)) == ESP_OK &&
                    esp_wireguard_set_default(&_ctx) == ESP_OK;
  if (!_is_initialized) {
    (void)esp_wireguard_disconnect(&_ctx);
  }
  return _is_initialized;
}

bool WireGuard::setPresharedKey(const char *presharedKey) {
  uint8_t key[WG_KEY_LEN];
  if (presharedKey == nullptr) {
    wg_wipe_bytes(_presharedKey, sizeof _presharedKey);
    return true;
  }
  int result = wg_key_from_base64(key, presharedKey);
  wg_wipe_bytes(key, sizeof key);
  return result == WG_OK && copy(_presharedKey, presharedKey);
}

void WireGuard::end() {
  (void)esp_wireguard_disconnect(&_ctx);
  wg_wipe_bytes(_privateKey, sizeof _privateKey);
  _is_initialized = false;
}
