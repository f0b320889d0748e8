/* Stand-in for Arduino's. */
#ifndef STAND_IN_ARDUINO_H
#define STAND_IN_ARDUINO_H
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "IPAddress.h"
#define RTC_DATA_ATTR
struct StandInSerial {
  void begin(unsigned long) {}
  void println(const char *) {}
  void printf(const char *, ...) __attribute__((format(printf, 2, 3))) {}
};
extern StandInSerial Serial;
void delay(uint32_t ms);
unsigned long millis();
#endif
