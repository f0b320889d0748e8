/* MQTT by the library PubSubClient, unencrypted in itself, to a broker behind the tunnel. */
#include <PubSubClient.h>
#include <WiFi.h>
#include <WireGuard-ESP32.h>

static const char ssid[] = "my network";
static const char password[] = "its password";

/* The whole tunnel in the format of wg-quick, as most providers give it out. */
static const char tunnel[] = R"(
[Interface]
PrivateKey = the board's private key, in base64
Address = 10.0.0.2/24

[Peer]
PublicKey = the gateway's public key, in base64
AllowedIPs = 10.0.0.0/24
Endpoint = vpn.example.org:51820
PersistentKeepalive = 25
)";

static const char broker[] = "10.0.0.1";
static const uint16_t broker_port = 1883;

static WireGuard wg;
static WiFiClient socket_in_tunnel;
static PubSubClient mqtt(socket_in_tunnel);

void setup() {
  Serial.begin(115200);
  WiFi.begin(ssid, password);
  if (!wg.begin(tunnel)) {
    Serial.println("The tunnel's settings are wrong: the log says in which line.");
  }
  mqtt.setServer(broker, broker_port);
}

void loop() {
  static unsigned long published;
  if (!wg.is_connected()) {
    Serial.println(wg.status());
    delay(1000);
    return;
  }
  if (!mqtt.connected() && !mqtt.connect("board")) {
    Serial.printf("no MQTT: %d\n", mqtt.state());
    delay(5000);
    return;
  }
  mqtt.loop();
  if (millis() - published > 10000) {
    char uptime[16];
    published = millis();
    snprintf(uptime, sizeof uptime, "%lu", published / 1000);
    mqtt.publish("board/uptime", uptime);
  }
  delay(10);
}
