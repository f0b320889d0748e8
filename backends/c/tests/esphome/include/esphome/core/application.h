/* Stand-in for ESPHome's. */
#pragma once
namespace esphome {
struct Application {
  void reboot() { reboots++; }
  unsigned reboots = 0;
};
extern Application App;
}  // namespace esphome
