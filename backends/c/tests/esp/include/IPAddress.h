/* Stand-in for Arduino's. */
#ifndef STAND_IN_IPADDRESS_H
#define STAND_IN_IPADDRESS_H
#include <stdint.h>
class IPAddress {
 public:
  IPAddress(uint8_t a, uint8_t b, uint8_t c, uint8_t d) : bytes{a, b, c, d} {}
  uint8_t operator[](int index) const { return bytes[index]; }

 private:
  uint8_t bytes[4];
};
#endif
