/* Stand-in for ESPHome's. */
#pragma once
#include <string>
namespace esphome::sensor {
struct Sensor {
  double state{};
  unsigned published = 0;
  void publish_state(double now) {
    state = now;
    published++;
  }
};
}  // namespace esphome::sensor
