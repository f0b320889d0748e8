/* Stand-in for ESPHome's. */
#pragma once
#include <cstdint>
#include <initializer_list>
#include <vector>
#include "lwip/tcpip.h"
namespace esphome {
template <typename T>
class FixedVector : public std::vector<T> {
 public:
  using std::vector<T>::vector;
  using std::vector<T>::operator=;
};
/* As ESPHome's: it takes the lock unless this thread has it. */
class LwIPLock {
 public:
  LwIPLock() : takes(!sys_thread_tcpip(LWIP_CORE_LOCK_QUERY_HOLDER)) {
    if (takes) LOCK_TCPIP_CORE();
  }
  ~LwIPLock() {
    if (takes) UNLOCK_TCPIP_CORE();
  }

 private:
  bool takes;
};
uint32_t millis();
}  // namespace esphome
