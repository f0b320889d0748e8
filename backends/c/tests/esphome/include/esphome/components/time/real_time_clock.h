/* Stand-in for ESPHome's. */
#pragma once
#include <functional>
#include "esphome/core/time.h"
namespace esphome::time {
struct RealTimeClock {
  ESPTime current;
  std::function<void()> on_sync;
  ESPTime now() const { return current; }
  void add_on_time_sync_callback(std::function<void()> call) { on_sync = call; }
};
}  // namespace esphome::time
