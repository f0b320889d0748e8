/* Stand-in for ESPHome's. */
#pragma once
#include <string>
namespace esphome::text_sensor {
struct TextSensor {
  std::string state{};
  unsigned published = 0;
  void publish_state(std::string now) {
    state = now;
    published++;
  }
};
}  // namespace esphome::text_sensor
