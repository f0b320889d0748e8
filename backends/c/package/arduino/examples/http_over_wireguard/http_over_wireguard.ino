/* A web server that only those in the tunnel reach, and those in the board's own network: it says how the
 * tunnel is.
 *
 * The board is called from outside, so it keeps a NAT open with keepalives, which are on by default. */
#include <WebServer.h>
#include <WiFi.h>
#include <WireGuard-ESP32.h>

static const char ssid[] = "my network";
static const char password[] = "its password";

static const IPAddress local_ip(10, 0, 0, 2);
static const IPAddress subnet(255, 255, 255, 0);
static const IPAddress gateway(0, 0, 0, 0);
static const char private_key[] = "the board's private key, in base64";
static const char endpoint_address[] = "vpn.example.org";
static const char endpoint_public_key[] = "the gateway's public key, in base64";
static const uint16_t endpoint_port = 51820;

static WireGuard wg;
static WebServer server(80);

static void show_tunnel() {
  char page[160];
  snprintf(page, sizeof page, "up for %lu s, the tunnel: %s\n", (unsigned long)millis() / 1000,
           wg.status());
  server.send(200, "text/plain", page);
}

void setup() {
  Serial.begin(115200);
  WiFi.begin(ssid, password);
  if (!wg.begin(local_ip, subnet, gateway, private_key, endpoint_address, endpoint_public_key,
                endpoint_port)) {
    Serial.println("The tunnel's settings are wrong: the log says which.");
  }
  server.on("/", show_tunnel);
  server.begin();
}

void loop() {
  server.handleClient();
  delay(2);
}
