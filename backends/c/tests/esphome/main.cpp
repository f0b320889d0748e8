/* ESPHome's own component, unmodified, on this library: its life as ESPHome's main loop drives it. */
#include "esphome/components/wireguard/wireguard.h"
#include "esphome/components/network/util.h"
#include "esphome/core/application.h"
#include "stand_ins.h"

namespace esphome {
Application App;
std::vector<std::function<void()>> deferred_calls;
static bool has_network = false;
uint32_t millis() { return static_cast<uint32_t>(time_us / 1000); }
bool network::is_connected() { return has_network; }
}  // namespace esphome

using namespace esphome;

static wireguard::Wireguard component;
static esphome::time::RealTimeClock clock_of_board;
static binary_sensor::BinarySensor status_sensor, enabled_sensor;
static sensor::Sensor handshake_sensor;
static text_sensor::TextSensor address_sensor;

/* ESPHome's loop: without the core lock, an update every ten seconds. */
static void live(unsigned seconds) {
  for (unsigned i = 0; i < seconds; i++) {
    run(1000);
    unlock();
    auto calls = std::move(deferred_calls);
    deferred_calls.clear();
    for (auto &call : calls) {
      call();
    }
    component.loop();
    if (i % 10 == 9) {
      component.update();
    }
    lock();
  }
}

static bool is_up() {
  unlock();
  bool up = component.is_peer_up();
  lock();
  return up;
}

int main() {
  begin();
  component.set_address("10.0.0.2");
  component.set_netmask("255.255.255.0");
  component.set_private_key(boards_key_text());
  component.set_peer_public_key(gateways_key_text());
  component.set_peer_endpoint("vpn.example.org");
  component.set_peer_port(51820);
  component.set_keepalive(0);
  component.set_reboot_timeout(15 * 60 * 1000);
  component.set_srctime(&clock_of_board);
  component.set_allowed_ips({wireguard::AllowedIP{"0.0.0.0", "0.0.0.0"},
                             wireguard::AllowedIP{"192.168.77.0", "255.255.255.0"}});
  component.set_status_sensor(&status_sensor);
  component.set_enabled_sensor(&enabled_sensor);
  component.set_handshake_sensor(&handshake_sensor);
  component.set_address_sensor(&address_sensor);
  unlock();
  component.setup();
  component.dump_config();
  CHECK(!component.failed && component.can_proceed() && enabled_sensor.state);
  CHECK(address_sensor.state == "10.0.0.2");
  lock();

  live(30); /* no network, no time */
  CHECK(!is_up() && gateway.initiations == 0);
  has_network = true;
  live(30);
  CHECK(!is_up()); /* it waits for the time itself */
  clock_of_board.current.valid = true;
  unlock();
  clock_of_board.on_sync();
  lock();
  live(40);
  CHECK(is_up() && status_sensor.state && handshake_sensor.state > 1.7e9);
  ask_inside("10.0.0.1");
  live(2);
  CHECK(answers == 1);
  live(3600); /* stays up without a keepalive and without traffic */
  CHECK(is_up() && App.reboots == 0);

  has_network = false; /* Wi-Fi is lost */
  wifi_off();
  live(120);
  CHECK(!is_up() && !status_sensor.state);
  wifi_on(true);
  has_network = true;
  live(60);
  CHECK(is_up());

  gateway.is_silent = true; /* the peer goes, and comes back: it connects again and again meanwhile */
  live(600);
  CHECK(!is_up() && App.reboots == 0);
  gateway.is_silent = false;
  live(60);
  CHECK(is_up());

  unlock();
  component.disable();
  lock();
  live(20);
  CHECK(!is_up() && !component.is_enabled() && !enabled_sensor.state && netif_default == &wifi);
  unlock();
  component.enable();
  lock();
  live(60);
  CHECK(is_up() && component.is_enabled());

  gateway.is_silent = true;
  live(1200);
  CHECK(App.reboots > 0); /* as its owner asked for */
  gateway.is_silent = false;
  live(60);
  CHECK(is_up());
  unlock();
  component.on_shutdown();
  lock();
  run(1000);
  CHECK(!is_up() && wifi.next == NULL);
  printf("test result: ok. 1 passed\n");
  end();
  return 0;
}
