/* Stand-in for ESPHome's: what a configuration with all sensors has. */
#pragma once
#define USE_WIREGUARD
#define USE_BINARY_SENSOR
#define USE_SENSOR
#define USE_TEXT_SENSOR
