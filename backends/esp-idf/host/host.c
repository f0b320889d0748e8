#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lwip/dns.h"
#include "lwip/mem.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcpip_priv.h"
#include "lwip/sockets.h"
#include "lwip/tcpip.h"
#include "lwip/udp.h"
#include "wg_netif.h"

static struct netif *wifi, ethernet;
static uint32_t wifi_packets;

struct job {
  struct tcpip_api_call_data call;
  char *text;
  unsigned number;
  const char *address;
  uint16_t port;
  uint16_t piece;
  int result;
};

static err_t wifi_output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *to) {
  (void)netif, (void)p, (void)to;
  __atomic_fetch_add(&wifi_packets, 1, __ATOMIC_SEQ_CST);
  return ERR_OK;
}

static err_t wifi_output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *to) {
  (void)to;
  return wifi_output4(netif, p, NULL);
}

static err_t wifi_init(struct netif *netif) {
  netif->name[0] = 's';
  netif->name[1] = 't';
  netif->num = 1;
  netif->mtu = 1500;
  netif->output = wifi_output4;
  netif->output_ip6 = wifi_output6;
  return ERR_OK;
}

static err_t add_wifi(struct tcpip_api_call_data *call) {
  ip4_addr_t address, mask, gateway;
  (void)call;
  IP4_ADDR(&address, 192, 168, 4, 2);
  IP4_ADDR(&mask, 255, 255, 255, 0);
  IP4_ADDR(&gateway, 192, 168, 4, 1);
  wifi = calloc(1, sizeof *wifi);
  netif_add(wifi, &address, &mask, &gateway, NULL, wifi_init, ip_input);
  netif_set_up(wifi);
  netif_set_link_up(wifi);
  netif_set_default(wifi);
  ip_addr_t dns = IPADDR4_INIT_BYTES(192, 168, 4, 1);
  dns_setserver(0, &dns);
  return ERR_OK;
}

static err_t ethernet_init(struct netif *netif) {
  (void)wifi_init(netif);
  netif->name[0] = 'e';
  netif->name[1] = 'n';
  netif->num = 7;
  return ERR_OK;
}

static err_t turn_off_wifi(struct tcpip_api_call_data *call) {
  (void)call;
  netif_remove(wifi);
  free(wifi);
  return ERR_OK;
}

static err_t plug_in(struct tcpip_api_call_data *call) {
  ip4_addr_t address, mask, gateway;
  (void)turn_off_wifi(call);
  IP4_ADDR(&address, 192, 168, 5, 2);
  IP4_ADDR(&mask, 255, 255, 255, 0);
  IP4_ADDR(&gateway, 192, 168, 5, 1);
  memset(&ethernet, 0, sizeof ethernet);
  netif_add(&ethernet, &address, &mask, &gateway, NULL, ethernet_init, ip_input);
  netif_set_up(&ethernet);
  netif_set_link_up(&ethernet);
  netif_set_default(&ethernet);
  return ERR_OK;
}

static err_t unplug(struct tcpip_api_call_data *call) {
  netif_remove(&ethernet);
  return add_wifi(call);
}

void host_plug_in(void) {
  struct job job = {0};
  (void)tcpip_api_call(plug_in, &job.call);
}

void host_turn_off_wifi(void) {
  struct job job = {0};
  (void)tcpip_api_call(turn_off_wifi, &job.call);
}

void host_turn_on_wifi(void) {
  struct job job = {0};
  (void)tcpip_api_call(add_wifi, &job.call);
}

void host_unplug(void) {
  struct job job = {0};
  (void)tcpip_api_call(unplug, &job.call);
}

void host_underlay(char *name) { wg_netif_default_name(name); }

static void ready(void *started) { sys_sem_signal(started); }

void host_start(void) {
  sys_sem_t started;
  struct job job = {0};
  sys_sem_new(&started, 0);
  tcpip_init(ready, &started);
  sys_sem_wait(&started);
  sys_sem_free(&started);
  (void)tcpip_api_call(add_wifi, &job.call);
}

uint32_t host_wifi_packets(void) { return __atomic_load_n(&wifi_packets, __ATOMIC_SEQ_CST); }

static err_t get_default(struct tcpip_api_call_data *call) {
  struct job *job = (struct job *)call;
  job->text[0] = '\0';
  if (netif_default != NULL) {
    (void)netif_index_to_name(netif_get_index(netif_default), job->text);
  }
  return ERR_OK;
}

void host_default(char *name) {
  struct job job = {.text = name};
  (void)tcpip_api_call(get_default, &job.call);
}

static err_t get_dns(struct tcpip_api_call_data *call) {
  struct job *job = (struct job *)call;
  (void)ipaddr_ntoa_r(dns_getserver((u8_t)job->number), job->text, 48);
  return ERR_OK;
}

void host_dns(uint8_t number, char *text) {
  struct job job = {.number = number, .text = text};
  (void)tcpip_api_call(get_dns, &job.call);
}

static err_t count(struct tcpip_api_call_data *call) {
  struct netif *netif;
  NETIF_FOREACH(netif) { ((struct job *)call)->number++; }
  return ERR_OK;
}

unsigned host_interfaces(void) {
  struct job job = {0};
  (void)tcpip_api_call(count, &job.call);
  return job.number;
}

static void set_timeout(int socket, int timeout_ms) {
  struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
  lwip_setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  lwip_setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

int host_connect(bool is_tcp, const char *address, uint16_t port, int timeout_ms) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } to;
  ip_addr_t ip;
  memset(&to, 0, sizeof to);
  if (!ipaddr_aton(address, &ip)) {
    return -EINVAL;
  }
  if (IP_IS_V6_VAL(ip)) {
    to.v6.sin6_len = sizeof to.v6;
    to.v6.sin6_family = AF_INET6;
    to.v6.sin6_port = lwip_htons(port);
    inet6_addr_from_ip6addr(&to.v6.sin6_addr, ip_2_ip6(&ip));
  } else {
    to.v4.sin_len = sizeof to.v4;
    to.v4.sin_family = AF_INET;
    to.v4.sin_port = lwip_htons(port);
    inet_addr_from_ip4addr(&to.v4.sin_addr, ip_2_ip4(&ip));
  }
  int socket = lwip_socket(to.any.sa_family, is_tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
  if (socket < 0) {
    return -errno;
  }
  set_timeout(socket, timeout_ms);
  if (lwip_connect(socket, &to.any, to.any.sa_len) != 0) {
    int error = errno;
    lwip_close(socket);
    return -error;
  }
  return socket;
}

long host_send(int socket, const void *bytes, size_t length) {
  long sent = lwip_send(socket, bytes, length, 0);
  return sent < 0 ? -errno : sent;
}

long host_receive(int socket, void *bytes, size_t length) {
  long received = lwip_recv(socket, bytes, length, 0);
  return received < 0 ? -errno : received;
}

int host_close(int socket) { return lwip_close(socket); }

int host_bind_device(int socket, const char *name) { return wg_underlay_bind(socket, name); }

static err_t send_chain(struct tcpip_api_call_data *call) {
  struct job *job = (struct job *)call;
  ip_addr_t to;
  job->result = ERR_VAL;
  struct udp_pcb *pcb = udp_new_ip_type(IPADDR_TYPE_ANY);
  if (pcb == NULL || !ipaddr_aton(job->address, &to)) {
    return ERR_OK;
  }
  struct pbuf *chain = NULL;
  uint8_t byte = 0;
  for (unsigned i = 0; i < job->number; i++) {
    struct pbuf *p = pbuf_alloc(i == 0 ? PBUF_TRANSPORT : PBUF_RAW, job->piece, PBUF_RAM);
    for (uint16_t j = 0; j < job->piece; j++) {
      ((uint8_t *)p->payload)[j] = byte++;
    }
    if (chain == NULL) {
      chain = p;
    } else {
      pbuf_cat(chain, p);
    }
  }
  job->result = udp_sendto(pcb, chain, &to, job->port);
  pbuf_free(chain);
  udp_remove(pcb);
  return ERR_OK;
}

int host_send_chain(const char *address, uint16_t port, unsigned pieces, uint16_t piece) {
  struct job job = {.address = address, .port = port, .number = pieces, .piece = piece};
  (void)tcpip_api_call(send_chain, &job.call);
  return job.result;
}

/* ---- no memory ------------------------------------------------------------------------------- */

#ifdef WG_POOLS
static void *hoard[4096];
static size_t hoarded;

void host_exhaust(void) {
  for (size_t size = 1024; size >= 16; size /= 2) {
    void *block;
    while (hoarded < sizeof hoard / sizeof hoard[0] && (block = mem_malloc((mem_size_t)size)) != NULL) {
      hoard[hoarded++] = block;
    }
  }
}

void host_relieve(void) {
  while (hoarded > 0) {
    mem_free(hoard[--hoarded]);
  }
}
#else
static bool exhausted;

void *host_malloc(size_t size) {
  return __atomic_load_n(&exhausted, __ATOMIC_SEQ_CST) ? NULL : malloc(size);
}

void *host_calloc(size_t count, size_t size) {
  return __atomic_load_n(&exhausted, __ATOMIC_SEQ_CST) ? NULL : calloc(count, size);
}

void host_exhaust(void) { __atomic_store_n(&exhausted, true, __ATOMIC_SEQ_CST); }

void host_relieve(void) { __atomic_store_n(&exhausted, false, __ATOMIC_SEQ_CST); }
#endif
