/* Stand-in for Arduino's. */
#ifndef STAND_IN_WIFI_H
#define STAND_IN_WIFI_H
class Client {};
class WiFiClient : public Client {};
struct StandInWiFi {
  void begin(const char *ssid, const char *password);
};
extern StandInWiFi WiFi;
#endif
