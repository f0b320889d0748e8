/* The class of the Arduino library WireGuard-ESP32, over this library: a sketch that was written for
 * that one compiles unchanged.
 *
 * `begin` does not wait: not for the name of the endpoint, and not for the clock. The tunnel comes up as
 * soon as it can, and `status` says what it waits for. */
#ifndef WIREGUARD_ESP32_H
#define WIREGUARD_ESP32_H

#include <Arduino.h>
#include <IPAddress.h>

#include "esp_wireguard.h"

class WireGuard {
 public:
  WireGuard() = default;
  ~WireGuard() { end(); }
  WireGuard(const WireGuard &) = delete;
  WireGuard &operator=(const WireGuard &) = delete;

  /* Everything goes through the tunnel from now on. The texts are copied. False for a wrong setting,
   * which the log names; then nothing is changed. Begun twice, it begins anew. `gateway` is not used. */
  bool begin(const IPAddress &localIP, const IPAddress &subnet, const IPAddress &gateway,
             const char *privateKey, const char *remotePeerAddress, const char *remotePeerPublicKey,
             uint16_t remotePeerPort);
  bool begin(const IPAddress &localIP, const char *privateKey, const char *remotePeerAddress,
             const char *remotePeerPublicKey, uint16_t remotePeerPort);
  void end();
  bool is_initialized() const { return _is_initialized; }

  /* What that library did not have. */

  /* A pre-shared key in base64, for the next `begin`; NULL for none. False for no key. */
  bool setPresharedKey(const char *presharedKey);
  /* Seconds between keepalives, for the next `begin`. 25 at first, since boards are behind NAT. */
  void setKeepalive(uint16_t seconds) { _keepalive = seconds; }
  /* Begins with a whole wg-quick text. */
  bool begin(const char *wgQuickText);
  bool is_connected() const { return esp_wireguard_peer_is_up(&_ctx) == ESP_OK; }
  /* Why it is not connected, in one sentence; "connected" when it is. */
  const char *status() const { return esp_wireguard_why(&_ctx); }

 private:
  bool start(const IPAddress &localIP, const char *netmask, const char *privateKey,
             const char *remotePeerAddress, const char *remotePeerPublicKey, uint16_t remotePeerPort);

  wireguard_config_t _config = ESP_WIREGUARD_CONFIG_DEFAULT();
  wireguard_ctx_t _ctx = ESP_WIREGUARD_CONTEXT_DEFAULT();
  bool _is_initialized = false;
  uint16_t _keepalive = 25;
  char _privateKey[45] = {}, _publicKey[45] = {}, _presharedKey[45] = {};
  char _address[16] = {}, _netmask[16] = {}, _endpoint[256] = {};
};

#endif
