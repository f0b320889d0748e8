/* A sketch as the users of the old library have them, with every call that it had. */
#include <Arduino.h>
#include <WireGuard-ESP32.h>

extern const char *sketch_private_key, *sketch_public_key, *sketch_endpoint;
extern bool sketch_short_form;

StandInSerial Serial;
static WireGuard wg;
IPAddress local_ip(10, 0, 0, 2);
IPAddress subnet(255, 255, 255, 0);
IPAddress gateway_ip(0, 0, 0, 0);
uint16_t endpoint_port = 51820;

bool sketch_setup() {
  Serial.begin(115200);
  Serial.println("Initializing WireGuard interface...");
  if (sketch_short_form) {
    return wg.begin(local_ip, sketch_private_key, sketch_endpoint, sketch_public_key, endpoint_port);
  }
  return wg.begin(local_ip, subnet, gateway_ip, sketch_private_key, sketch_endpoint,
                  sketch_public_key, endpoint_port);
}

bool sketch_is_initialized() { return wg.is_initialized(); }
bool sketch_is_connected() { return wg.is_connected(); }
const char *sketch_status() { return wg.status(); }
bool sketch_text(const char *text) { return wg.begin(text); }
bool sketch_preshared(const char *key) { return wg.setPresharedKey(key); }
void sketch_end() { wg.end(); }
