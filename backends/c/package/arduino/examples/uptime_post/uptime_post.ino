/* Posts the board's uptime every five seconds to a server behind the tunnel.
 *
 * There is no wait for the time of day: the tunnel comes up without it, after every reboot. */
#include <HTTPClient.h>
#include <WiFi.h>
#include <WireGuard-ESP32.h>

static const char ssid[] = "my network";
static const char password[] = "its password";

static const IPAddress local_ip(10, 0, 0, 2);
static const char private_key[] = "the board's private key, in base64";
static const char endpoint_address[] = "vpn.example.org";
static const char endpoint_public_key[] = "the gateway's public key, in base64";
static const uint16_t endpoint_port = 51820;

static const char url[] = "http://10.0.0.1/uptime";

static WireGuard wg;

void setup() {
  Serial.begin(115200);
  WiFi.begin(ssid, password);
  if (!wg.begin(local_ip, private_key, endpoint_address, endpoint_public_key, endpoint_port)) {
    Serial.println("The tunnel's settings are wrong: the log says which.");
  }
}

void loop() {
  if (!wg.is_connected()) {
    Serial.println(wg.status());
  } else {
    char body[48];
    snprintf(body, sizeof body, "{\"uptime_ms\":%lu}", (unsigned long)millis());
    HTTPClient http;
    http.begin(url);
    http.addHeader("Content-Type", "application/json");
    Serial.printf("posted: %d\n", http.POST(body));
    http.end();
  }
  delay(5000);
}
