/* Stand-in for ESPHome's. */
#pragma once
#include <cstdint>
#include <functional>
#include <vector>
namespace esphome {
namespace setup_priority {
constexpr float BEFORE_CONNECTION = 220;
}
extern std::vector<std::function<void()>> deferred_calls;
class PollingComponent {
 public:
  virtual ~PollingComponent() = default;
  virtual void setup() = 0;
  virtual void loop() = 0;
  virtual void update() = 0;
  virtual void dump_config() = 0;
  virtual void on_shutdown() = 0;
  virtual bool can_proceed() = 0;
  virtual float get_setup_priority() const = 0;
  void defer(std::function<void()> call) { deferred_calls.push_back(call); }
  void mark_failed() { failed = true; }
  bool failed = false;
};
}  // namespace esphome
