/* Wakes every ten minutes, reports once through the tunnel, and sleeps again.
 *
 * After each sleep the board has lost its session and the time of day. What makes the next handshake
 * succeed is a timestamp that the library keeps in NVS: peers refuse one that is not newer than the last.
 * Nothing is to be done for that here, and SNTP is not needed. */
#include <HTTPClient.h>
#include <WiFi.h>
#include <WireGuard-ESP32.h>
#include <esp_sleep.h>

static const char ssid[] = "my network";
static const char password[] = "its password";

static const IPAddress local_ip(10, 0, 0, 2);
static const char private_key[] = "the board's private key, in base64";
static const char endpoint_address[] = "vpn.example.org";
static const char endpoint_public_key[] = "the gateway's public key, in base64";
static const uint16_t endpoint_port = 51820;

static const char url[] = "http://10.0.0.1/report";
static const uint64_t sleep_us = 10ull * 60 * 1000000;
/* Who cannot report within so long sleeps, and tries again. */
static const unsigned long patience_ms = 30000;

RTC_DATA_ATTR static unsigned wakes;

static WireGuard wg;

static bool report() {
  char body[32];
  HTTPClient http;
  snprintf(body, sizeof body, "{\"wakes\":%u}", wakes);
  http.begin(url);
  http.addHeader("Content-Type", "application/json");
  int status = http.POST(body);
  http.end();
  return status == 200;
}

void setup() {
  Serial.begin(115200);
  wakes++;
  WiFi.begin(ssid, password);
  wg.setKeepalive(0); /* Nobody calls a board that sleeps. */
  if (!wg.begin(local_ip, private_key, endpoint_address, endpoint_public_key, endpoint_port)) {
    Serial.println("The tunnel's settings are wrong: the log says which.");
  }
  bool is_reported = false;
  while (!is_reported && millis() < patience_ms) {
    is_reported = wg.is_connected() && report();
    if (!is_reported) {
      delay(100);
    }
  }
  if (!is_reported) {
    Serial.println(wg.status());
  }
  wg.end();
  esp_sleep_enable_timer_wakeup(sleep_us);
  esp_deep_sleep_start();
}

void loop() {}
