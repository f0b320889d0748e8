/* Stand-in for Arduino's. */
#ifndef STAND_IN_ARDUINO_H
#define STAND_IN_ARDUINO_H
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "IPAddress.h"
struct StandInSerial {
  void begin(unsigned long) {}
  void println(const char *) {}
};
extern StandInSerial Serial;
void delay(uint32_t ms);
#endif
