/* wg_lwip between a real lwIP and another engine: the board is lwIP with an interface "st" that leads
 * to a gateway, which is an engine of wg.h that answers what comes out of the tunnel. Time is this
 * program's. Ends with 0 when everything is as it should be. */
#include "world.h"

static struct udp_pcb *echo;
static unsigned echoes;
static char last_echo[1500];
static uint16_t last_length;

static void on_echo(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port) {
  (void)arg, (void)pcb, (void)from, (void)port;
  last_length = p->tot_len;
  (void)pbuf_copy_partial(p, last_echo, sizeof last_echo, 0);
  echoes++;
  pbuf_free(p);
}

/* Sends a datagram of `length` bytes in `pieces` pbufs to port 7 inside of the tunnel. */
static err_t say(const char *to, uint16_t length, unsigned pieces) {
  ip_addr_t address;
  struct pbuf *chain = NULL;
  char text[1500];
  err_t result;
  for (uint16_t i = 0; i < length; i++) {
    text[i] = (char)(i * 7 + echoes);
  }
  for (unsigned i = 0; i < pieces; i++) {
    uint16_t from = (uint16_t)(length * i / pieces), end = (uint16_t)(length * (i + 1) / pieces);
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (uint16_t)(end - from), PBUF_RAM);
    CHECK(p != NULL);
    (void)pbuf_take(p, text + from, (uint16_t)(end - from));
    if (chain == NULL) {
      chain = p;
    } else {
      pbuf_cat(chain, p);
    }
  }
  CHECK(ipaddr_aton(to, &address));
  result = udp_sendto(echo, chain, &address, 7);
  pbuf_free(chain);
  return result;
}

/* The same, and the echo is the same bytes. */
static void talk(const char *to, uint16_t length, unsigned pieces) {
  unsigned before = echoes;
  CHECK(say(to, length, pieces) == ERR_OK);
  run(100);
  CHECK(echoes == before + 1 && last_length == length);
  for (uint16_t i = 0; i < length; i++) {
    CHECK(last_echo[i] == (char)(i * 7 + before));
  }
}

static void packets_of_every_shape(void) {
  start("192.0.2.9", 51820);
  CHECK(netif_default == &wifi);
  talk("10.0.0.1", 1, 1); /* waits for the session */
  CHECK(gateway.initiations == 1);
  for (uint16_t length = 0; length <= 1392; length += 3) {
    talk("10.0.0.1", length, 1 + length % 5);
  }
  for (uint16_t length = 1; length <= 1372; length += 13) {
    talk("fd00::1", length, 1 + length % 3);
  }
  /* Datagrams that came in pieces, in memory that must not be written, or that others hold, too. */
  for (int shape = 0; shape < SHAPES; shape++) {
    wifi_shape = shape;
    talk("10.0.0.1", 700, 1);
    talk("fd00::1", 1372, 2);
  }
  wifi_shape = 0;
  stop();
}

static void ten_thousand_each_way(void) {
  start("192.0.2.9", 51820);
  for (unsigned i = 0; i < 10000; i++) {
    talk("10.0.0.1", (uint16_t)(i % 1392), 1 + i % 2);
  }
  CHECK(gateway.packets >= 10000 && gateway.initiations > 5); /* ten times a new session */
  stop();
}

static void tcp_connects_and_is_ended_with_the_tunnel(void) {
  start("192.0.2.9", 51820);
  CHECK(tcp_request("10.0.0.1") == 1);
  stop();
}

static void an_ipv6_underlay(void) {
  start("2001:db8::9", 51820);
  talk("10.0.0.1", 1392, 1);
  talk("fd00::1", 33, 1);
  CHECK(gateway.outer_v6 > 2 && gateway.outer_v4 == 0);
  stop();
}

/* The tunnel is the default route, and its own datagrams still go by the underlay; other underlays
 * come and go. */
static void default_routes(void) {
  start("192.0.2.9", 51820);
  OK(wg_lwip_set_default(&tunnel));
  OK(wg_lwip_set_default(&tunnel));
  CHECK(netif_default == &tunnel.netif);
  talk("203.0.113.5", 100, 1);
  talk("2001:db8:5::5", 100, 1);
  talk("192.168.4.1", 0, 1) ;
  OK(wg_lwip_restore_default(&tunnel));
  OK(wg_lwip_restore_default(&tunnel));
  CHECK(netif_default == &wifi);
  OK(wg_lwip_set_default(&tunnel));
  wifi_off(); /* the interface is gone, and with it the route to go back to */
  unsigned before = echoes;
  (void)say("10.0.0.1", 9, 1);
  run(50);
  CHECK(echoes == before && tunnel.counters.no_underlay > 0);
  wifi_on(true); /* comes back, and takes the default route as ESP-IDF has it do */
  run(12000);
  CHECK(netif_default == &tunnel.netif);
  talk("203.0.113.5", 100, 1);
  stop();
  CHECK(netif_default == &wifi);
}

static void a_chosen_underlay(void) {
  start_on("192.0.2.9", 51820, "en0");
  (void)say("10.0.0.1", 5, 1);
  run(1000);
  CHECK(gateway.initiations == 0 && tunnel.counters.no_underlay > 0);
  stop();
  start_on("192.0.2.9", 51820, "st0");
  talk("10.0.0.1", 5, 1);
  stop();
}

/* The endpoint's route leads into the tunnel of another peer: counted, not sent again and again. */
static void a_routing_loop(void) {
  start("192.0.2.9", 51820);
  talk("10.0.0.1", 5, 1);
  OK(wg_lwip_set_default(&tunnel));
  gateway.keeps_last = true;
  talk("10.0.0.1", 5, 1);
  send_kept_into_tunnel();
  CHECK(wg_count(tunnel.wg, WG_NO_PEER, WG_ERR_ROUTING_LOOP) == 1);
  stop();
}

static void names(void) {
  start(NULL, 0);
  OK(wg_lwip_set_endpoint(&tunnel, peer, "vpn.example.org", 51820));
  dns.fails = 3; /* does not know the name at first */
  (void)say("10.0.0.1", 5, 1); /* waits for the address, and for the session then */
  unsigned before = echoes;
  run(90000);
  CHECK(gateway.initiations > 0 && dns.questions >= 3 && echoes == before + 1);
  talk("10.0.0.1", 5, 1);
  /* The gateway moves: the name is asked for again while nobody answers, and not more often than
   * every ten seconds. */
  unsigned questions = dns.questions;
  run(3600000);
  talk("10.0.0.1", 5, 1);
  CHECK(dns.questions == questions); /* not while it is reached */
  gateway_moves("192.0.2.77");
  gateway.only_answers = true; /* behind NAT it would not reach the board */
  run(200000); /* the session ends */
  (void)say("10.0.0.1", 5, 1);
  run(25000);
  talk("10.0.0.1", 5, 1);
  CHECK(dns.questions > questions && dns.questions <= questions + 12);
  gateway_moves("192.0.2.9");
  /* An answer that comes after the tunnel is gone is nobody's. */
  dns.is_slow = true;
  stop();
  start(NULL, 0);
  OK(wg_lwip_set_endpoint(&tunnel, peer, "late.example.org", 51820));
  stop();
  dns.is_slow = false;
  run(60000);
}

/* No session comes: what waits is bounded, and dropped when the engine gives up. */
static void nobody_answers(void) {
  start("192.0.2.9", 51820);
  gateway.is_silent = true;
  for (int i = 0; i < 10; i++) {
    CHECK(say("10.0.0.1", 5, 1) == ERR_OK);
  }
  run(130000);
  CHECK(tunnel.counters.displaced == 10 && gateway.initiations == 20);
  struct wg_status status;
  OK(wg_get_status(tunnel.wg, time_us, peer, &status));
  CHECK(status.connection == WG_REFUSED_UNANSWERED);
  gateway.is_silent = false;
  talk("10.0.0.1", 5, 1);
  stop();
}

static void out_of_memory(void) {
  start("192.0.2.9", 51820);
  talk("10.0.0.1", 5, 1);
  struct pbuf *mine = pbuf_alloc(PBUF_TRANSPORT, 50, PBUF_RAM);
  ip_addr_t address;
  CHECK(mine != NULL && ipaddr_aton("10.0.0.1", &address));
  memory_is_out = true;
  for (int i = 0; i < 20; i++) {
    CHECK(udp_sendto(echo, mine, &address, 7) != ERR_OK);
  }
  run(300000); /* keepalives and handshakes find no memory either */
  memory_is_out = false;
  pbuf_free(mine);
  CHECK(tunnel.counters.no_memory > 2);
  run(6000);
  talk("10.0.0.1", 5, 1);
  stop();

  /* No pcb, no port: nothing is left half made. */
  struct udp_pcb *taken[MEMP_NUM_UDP_PCB];
  unsigned count = 0;
  while ((taken[count] = udp_new()) != NULL) {
    count++;
  }
  CHECK(add("10.0.0.2", NULL) == WG_LWIP_ERR_MEMORY);
  while (count > 0) {
    udp_remove(taken[--count]);
  }
  struct udp_pcb *listens = udp_new_ip_type(IPADDR_TYPE_ANY);
  CHECK(udp_bind(listens, IP_ANY_TYPE, 4444) == ERR_OK);
  config.listen_port = 4444;
  CHECK(add("10.0.0.2", NULL) == WG_LWIP_ERR_PORT_IN_USE);
  config.listen_port = 0;
  udp_remove(listens);
}

static void calls_in_any_order(void) {
  CHECK_CODE(wg_lwip_remove(&tunnel), WG_LWIP_ERR_NOT_ADDED);
  CHECK_CODE(wg_lwip_drive(&tunnel), WG_LWIP_ERR_NOT_ADDED);
  CHECK_CODE(wg_lwip_work(&tunnel), WG_LWIP_ERR_NOT_ADDED);
  CHECK_CODE(wg_lwip_set_default(&tunnel), WG_LWIP_ERR_NOT_ADDED);
  CHECK_CODE(wg_lwip_restore_default(&tunnel), WG_LWIP_ERR_NOT_ADDED);
  CHECK_CODE(wg_lwip_set_endpoint(&tunnel, 0, "a.example", 5), WG_LWIP_ERR_NOT_ADDED);
  CHECK_CODE(wg_lwip_remove(NULL), WG_LWIP_ERR_NOT_ADDED);
  CHECK_CODE(wg_lwip_add(NULL, &config), WG_ERR_NULL);
  CHECK_CODE(wg_lwip_add(&tunnel, NULL), WG_ERR_NULL);
  CHECK_CODE(add("192.168.4.2", NULL), WG_LWIP_ERR_ADDRESS_IN_USE);
  CHECK_CODE(add("10.0.0.2", "a name that is too long"), WG_LWIP_ERR_NAME);
  start("192.0.2.9", 51820);
  CHECK_CODE(wg_lwip_add(&tunnel, &config), WG_LWIP_ERR_ADDED);
  CHECK_CODE(wg_lwip_set_endpoint(&tunnel, peer, "", 5), WG_LWIP_ERR_NAME);
  CHECK_CODE(wg_lwip_set_endpoint(&tunnel, peer, NULL, 5), WG_ERR_NULL);
  CHECK_CODE(wg_lwip_set_endpoint(&tunnel, peer, "a.example", 0), WG_ERR_ENDPOINT);
  CHECK_CODE(wg_lwip_set_endpoint(&tunnel, 99, "a.example", 5), WG_ERR_NO_PEER);
  for (int code = -60; code < 5; code++) {
    CHECK(strlen(wg_lwip_strerror(code)) > 5);
  }
  stop();
  for (int i = 0; i < 300; i++) {
    start(i % 3 == 0 ? "2001:db8::9" : "192.0.2.9", 51820);
    if (i % 2 == 0) {
      OK(wg_lwip_set_default(&tunnel));
    }
    if (i % 5 == 0) {
      talk("10.0.0.1", 5, 1);
    } else {
      (void)say("10.0.0.1", 5, 1); /* and stop with a packet, a timer and a handshake under way */
    }
    stop();
    CHECK(netif_default == &wifi);
  }
}

/* All cryptography is another task's. */
static void work_of_another_task(void) {
  defers = true;
  start("192.0.2.9", 51820);
  unsigned before = echoes;
  (void)say("10.0.0.1", 5, 1);
  run(1000);
  CHECK(deferred > 0 && gateway.initiations == 0);
  talk_deferred = true;
  run(100);
  CHECK(gateway.initiations == 1 && echoes == before + 1);
  for (int i = 0; i < 3000; i++) {
    talk(i % 2 ? "10.0.0.1" : "fd00::1", (uint16_t)(i % 1300), 1 + i % 3);
  }
  CHECK(gateway.initiations > 1);
  /* Both queues are bounded, and handshake messages leave room to packets. */
  talk_deferred = false;
  flood(1000);
  CHECK(tunnel.deferred[WG_LWIP_DEFERRED / 2 - 1].packet != NULL);
  CHECK(tunnel.deferred[WG_LWIP_DEFERRED / 2].packet == NULL);
  unsigned taken = 0;
  while (taken < 100 && say("10.0.0.1", 5, 1) == ERR_OK) {
    taken++;
  }
  CHECK(taken == WG_LWIP_DEFERRED);
  before = echoes;
  talk_deferred = true;
  OK(wg_lwip_work(&tunnel));
  run(100);
  CHECK(echoes == before + WG_LWIP_DEFERRED);
  talk_deferred = false;
  flood(3);
  (void)say("10.0.0.1", 5, 1);
  stop(); /* with all of that waiting */
  talk_deferred = true;
  start(NULL, 0);
  OK(wg_lwip_set_endpoint(&tunnel, peer, "vpn.example.org", 51820));
  before = echoes;
  (void)say("10.0.0.1", 5, 1);
  run(3000);
  CHECK(echoes == before + 1);
  stop();
  defers = talk_deferred = false;
}

/* Idle, the tunnel has no timer at all. */
static void no_tick(void) {
  start("192.0.2.9", 51820);
  talk("10.0.0.1", 5, 1);
  run(600000); /* the keys are wiped after nine minutes */
  CHECK(!tunnel.is_armed);
  talk("10.0.0.1", 5, 1);
  stop();
}

#define TEST(name) {#name, name}
static const struct {
  const char *name;
  void (*run)(void);
} tests[] = {
    TEST(packets_of_every_shape), TEST(tcp_connects_and_is_ended_with_the_tunnel),
    TEST(an_ipv6_underlay), TEST(default_routes), TEST(a_chosen_underlay), TEST(a_routing_loop),
    TEST(names), TEST(nobody_answers), TEST(out_of_memory), TEST(calls_in_any_order),
    TEST(work_of_another_task), TEST(no_tick), TEST(ten_thousand_each_way),
};

int main(void) {
  begin();
  echo = udp_new_ip_type(IPADDR_TYPE_ANY);
  CHECK(udp_bind(echo, IP_ANY_TYPE, 5000) == ERR_OK);
  udp_recv(echo, on_echo, NULL);
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
    printf("  %s\n", tests[i].name);
    fflush(stdout);
    tests[i].run();
  }
  printf("test result: ok. %u passed\n", (unsigned)(sizeof tests / sizeof tests[0]));
  end();
  return 0;
}
