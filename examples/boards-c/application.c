#include "application.h"

#include <string.h>

#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "lwip/udp.h"

#include "board.h"
#include "console.h"
#ifdef WITH_TUNNEL
#include "tunnel.h"
#endif

#define POST_PAUSE 1000
/* How long a post may take, in polls of TCP's, which are 0.5 s apart. */
#define PATIENCE 10
#define ECHO_PORT 7

/* ---- the uptime, posted every second to a server inside the tunnel ---- */

static struct tcp_pcb *post;
static char answer[16]; /* "HTTP/1.1 200 OK" */
static size_t answered;

static void post_uptime(void *arg);

static void end_post(const char *outcome) {
  post = NULL;
  print_text(outcome), print_text("\n");
#ifdef WITH_TUNNEL
  tunnel_report();
#endif
  sys_timeout(POST_PAUSE, post_uptime, NULL);
}

static err_t give_up(const char *outcome) {
  struct tcp_pcb *pcb = post;
  tcp_err(pcb, NULL);
  tcp_abort(pcb);
  end_post(outcome);
  return ERR_ABRT;
}

static void post_failed(void *arg, err_t err) {
  LWIP_UNUSED_ARG(arg);
  LWIP_UNUSED_ARG(err);
  end_post("not posted: no connection");
}

static err_t post_waits(void *arg, struct tcp_pcb *pcb) {
  LWIP_UNUSED_ARG(arg);
  LWIP_UNUSED_ARG(pcb);
  return give_up("not posted: no answer");
}

static err_t post_answered(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
  LWIP_UNUSED_ARG(arg);
  LWIP_UNUSED_ARG(err);
  if (p != NULL) {
    answered += pbuf_copy_partial(p, answer + answered, (u16_t)(sizeof answer - 1 - answered), 0);
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
  }
  /* The server has closed: that was all. */
  tcp_err(pcb, NULL);
  tcp_recv(pcb, NULL);
  tcp_poll(pcb, NULL, 0);
  if (tcp_close(pcb) != ERR_OK) {
    return give_up("not posted: no memory to close");
  }
  end_post(answered >= 12 && memcmp(answer + 8, " 200", 4) == 0 ? "posted: 200"
                                                                : "not posted: the server refuses");
  return ERR_OK;
}

/* Appends a number in decimal. */
static char *append_number(char *at, uint32_t number) {
  char digits[10];
  size_t count = 0;
  do {
    digits[count++] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count > 0) {
    *at++ = digits[--count];
  }
  return at;
}

static char *append(char *at, const char *text) {
  size_t length = strlen(text);
  memcpy(at, text, length);
  return at + length;
}

static err_t post_connected(void *arg, struct tcp_pcb *pcb, err_t err) {
  char body[48], request[160], *end;
  LWIP_UNUSED_ARG(arg);
  LWIP_UNUSED_ARG(err);
  end = append(append_number(append(body, "{\"uptime_ms\":"), sys_now()), "}\n");
  *end = '\0';
  end = append(request, "POST /cgi-bin/uptime HTTP/1.0\r\nHost: 10.9.0.1\r\n"
                        "Content-Type: application/json\r\nContent-Length: ");
  end = append(append(append_number(end, (uint32_t)strlen(body)), "\r\n\r\n"), body);
  if (tcp_write(pcb, request, (u16_t)(end - request), TCP_WRITE_FLAG_COPY) != ERR_OK ||
      tcp_output(pcb) != ERR_OK) {
    return give_up("not posted: no memory to send");
  }
  return ERR_OK;
}

static void post_uptime(void *arg) {
  ip_addr_t server;
  LWIP_UNUSED_ARG(arg);
  IP_ADDR4(&server, 10, 9, 0, 1);
  answered = 0;
  post = tcp_new_ip_type(IPADDR_TYPE_V4);
  if (post == NULL) {
    end_post("not posted: no memory to connect");
    return;
  }
  tcp_err(post, post_failed);
  tcp_recv(post, post_answered);
  tcp_poll(post, post_waits, PATIENCE);
  if (tcp_connect(post, &server, 80, post_connected) != ERR_OK) {
    (void)give_up("not posted: no route");
  }
}

/* ---- echoes ---- */

static void echo(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port) {
  LWIP_UNUSED_ARG(arg);
  (void)udp_sendto(pcb, p, from, port);
  pbuf_free(p);
}

/* ---- moves: a connection brings the address that is the board's own from now on ---- */

static err_t take_address(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
  char text[48];
  ip_addr_t address;
  u16_t length;
  LWIP_UNUSED_ARG(arg);
  LWIP_UNUSED_ARG(err);
  if (p == NULL) {
    tcp_abort(pcb);
    return ERR_ABRT;
  }
  length = pbuf_copy_partial(p, text, sizeof text - 1, 0);
  pbuf_free(p);
  while (length > 0 && text[length - 1] <= ' ') {
    length--;
  }
  text[length] = '\0';
  if (ipaddr_aton(text, &address)) {
    move_to(&address);
    print_text("moved to "), print_text(text), print_text("\n");
  }
  tcp_abort(pcb);
  return ERR_ABRT;
}

static err_t accept_mover(void *arg, struct tcp_pcb *pcb, err_t err) {
  LWIP_UNUSED_ARG(arg);
  if (err != ERR_OK || pcb == NULL) {
    return ERR_VAL;
  }
  tcp_recv(pcb, take_address);
  return ERR_OK;
}

void application_start(void) {
  struct udp_pcb *echoes = udp_new_ip_type(IPADDR_TYPE_ANY);
  struct tcp_pcb *moves = tcp_new_ip_type(IPADDR_TYPE_ANY);
  if (echoes == NULL || moves == NULL || udp_bind(echoes, IP_ANY_TYPE, ECHO_PORT) != ERR_OK ||
      tcp_bind(moves, IP_ANY_TYPE, ECHO_PORT) != ERR_OK || (moves = tcp_listen(moves)) == NULL) {
    print_text("no memory to listen\n");
    board_exit(1);
  }
  udp_recv(echoes, echo, NULL);
  tcp_accept(moves, accept_mover);
  post_uptime(NULL);
}
