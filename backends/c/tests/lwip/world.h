/* What is around the board: its Wi-Fi, a gateway, a name server, time and memory. */
#ifndef WORLD_H
#define WORLD_H

#include "board.h"
#include "lwip/dns.h"
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/pbuf.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "lwip/udp.h"
#include "wg_lwip.h"

/* Ways in which a driver can hand a datagram over. */
#define SHAPES 5

extern uint64_t time_us;
extern struct netif wifi;
extern int wifi_shape;
extern bool memory_is_out, defers, talk_deferred;
extern unsigned deferred;

extern struct gateway {
  struct wg *wg;
  bool is_silent, only_answers, keeps_last;
  unsigned initiations, packets, outer_v4, outer_v6;
} gateway;

extern struct dns {
  unsigned questions, fails;
  bool is_slow;
} dns;

extern struct wg_lwip tunnel;
extern struct wg_lwip_config config;
extern wg_peer peer;

/* An IP packet by Wi-Fi. */
struct frame {
  uint8_t bytes[1600];
  size_t length;
};

/* One that the board sent; and one for the board, in the way of wifi_shape. */
void frame_arrives(struct frame *frame);
void to_board(const uint8_t *bytes, size_t length);
/* What the gateway's timers want. */
void gateway_drive(void);

/* Starts and ends lwIP with Wi-Fi, and the gateway. */
void begin(void);
void end(void);
/* The core lock, which `begin` takes. */
void lock(void);
void unlock(void);
/* Keys of the two in base64: ours private, the gateway's public. */
const char *boards_key_text(void);
const char *gateways_key_text(void);
/* Lets this time pass, in milliseconds, and all that happens in it. */
void run(uint64_t ms);

/* A tunnel to the gateway at this place, or at none, by this interface, or by any. */
void start(const char *host, uint16_t port);
void start_on(const char *host, uint16_t port, const char *underlay);
void stop(void);
/* wg_lwip_add alone. */
int add(const char *address, const char *underlay);

void wifi_off(void);
void wifi_on(bool is_default);
void gateway_moves(const char *address);
void send_kept_into_tunnel(void);
/* Handshake messages that are none, to the board. */
void flood(unsigned count);
/* A TCP connection into the tunnel, whose refusal comes back, and one that is ended with the tunnel. 1
 * for success. */
int tcp_request(const char *address);

#endif
