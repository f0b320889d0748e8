/* Firmware in C for emulated boards: lwIP in a main loop, and a tunnel to post the uptime through.
 *
 * | file | is |
 * |---|---|
 * | application.c | what the firmware does: posts its uptime, echoes, moves when told to |
 * | tunnel.c | the tunnel as an interface of lwIP |
 * | riscv.c and virtio.c, xtensa.c | the boards: start-up, console, clock, network card, sleep |
 * | flash.c | the configuration, and what else is kept while the power is off |
 * | stack.c | how deep the stack has been |
 * | libc | the C library's functions that lwIP and the tunnel call */
#include "application.h"
#include "board.h"
#include "console.h"
#include "stack.h"

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/init.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#ifdef WITH_TUNNEL
#include "tunnel.h"
#endif

static struct netif outside;

void card_received(struct netif *netif, const void *frame, size_t length) {
  struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_POOL);
  card_counters.frames++;
  if (p == NULL) {
    card_counters.no_memory++;
    return;
  }
  (void)pbuf_take(p, frame, (u16_t)length);
  if (netif->input(p, netif) != ERR_OK) {
    pbuf_free(p);
  }
}

static err_t start_card(struct netif *netif) {
  netif->name[0] = 'e';
  netif->name[1] = 't';
  netif->mtu = 1500;
  netif->hwaddr_len = NETIF_MAX_HWADDR_LEN;
  netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_MLD6;
  netif->output = etharp_output;
  netif->output_ip6 = ethip6_output;
  return card_init(netif);
}

/* The board's addresses on the Ethernet. A real one would ask for them. */
static void start_outside(void) {
  ip4_addr_t address, mask, gateway;
  ip6_addr_t address6;
  IP4_ADDR(&address, 10, 77, 0, 2);
  IP4_ADDR(&mask, 255, 255, 255, 0);
  IP4_ADDR(&gateway, 10, 77, 0, 1);
  (void)netif_add(&outside, &address, &mask, &gateway, NULL, start_card, ethernet_input);
  netif_set_default(&outside);
  netif_set_link_up(&outside);
  netif_set_up(&outside);
  netif_create_ip6_linklocal_address(&outside, 1);
  (void)ip6addr_aton("fd77::2", &address6);
  netif_ip6_addr_set(&outside, 1, &address6);
  netif_ip6_addr_set_state(&outside, 1, IP6_ADDR_PREFERRED);
}

/* Takes another address on the Ethernet. The tunnel is not told, and need not be. */
void move_to(const ip_addr_t *address) {
  if (IP_IS_V6(address)) {
    /* Without the first, neighbours who ask for the new address are not heard. */
    netif_ip6_addr_set_state(&outside, 1, IP6_ADDR_INVALID);
    netif_ip6_addr_set(&outside, 1, ip_2_ip6(address));
    netif_ip6_addr_set_state(&outside, 1, IP6_ADDR_PREFERRED);
  } else {
    netif_set_ipaddr(&outside, ip_2_ip4(address));
  }
}

int main(void) {
  stack_paint();
  lwip_init();
  start_outside();
#ifdef WITH_TUNNEL
  if (!tunnel_start()) {
    board_exit(1);
  }
#endif
  application_start();
  for (;;) {
    uint32_t wait;
    card_poll(&outside);
    sys_check_timeouts();
#ifdef WITH_TUNNEL
    tunnel_watch();
#endif
    wait = sys_timeouts_sleeptime();
    if (wait > 0) {
      board_sleep_until(board_micros() + (uint64_t)(wait < 1000 ? wait : 1000) * 1000);
    }
  }
}

u32_t sys_now(void) { return (u32_t)(board_micros() / 1000); }

u32_t board_rand(void) {
  u32_t number;
  board_random(&number, sizeof number);
  return number;
}

void assertion(const char *text) {
  print_text("assertion: "), print_text(text), print_text("\n");
  board_exit(1);
}
