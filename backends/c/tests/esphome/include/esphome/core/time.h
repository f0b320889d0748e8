/* Stand-in for ESPHome's. */
#pragma once
#include <ctime>
#include <string>
namespace esphome {
struct ESPTime {
  bool valid = false;
  bool is_valid() const { return valid; }
  static ESPTime from_epoch_local(time_t) { return ESPTime(); }
  std::string strftime(const char *) const { return "a time"; }
};
}  // namespace esphome
