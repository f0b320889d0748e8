/* Stand-in for ESPHome's. */
#pragma once
namespace esphome::network {
bool is_connected();
}
