/* Stand-in for ESPHome's. */
#pragma once
#include <string>
namespace esphome::binary_sensor {
struct BinarySensor {
  bool state{};
  unsigned published = 0;
  void publish_state(bool now) {
    state = now;
    published++;
  }
};
}  // namespace esphome::binary_sensor
