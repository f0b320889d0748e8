/* Stand-in for that of the library PubSubClient. */
#ifndef STAND_IN_PUBSUBCLIENT_H
#define STAND_IN_PUBSUBCLIENT_H
#include <stdint.h>
#include "WiFi.h"
class PubSubClient {
 public:
  explicit PubSubClient(Client &client);
  PubSubClient &setServer(const char *domain, uint16_t port);
  bool connect(const char *id);
  bool connected();
  bool loop();
  bool publish(const char *topic, const char *payload);
  int state();
};
#endif
