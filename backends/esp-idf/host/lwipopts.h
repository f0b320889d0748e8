/* lwIP on this machine as ESP-IDF configures it, in the two ways that it can be.
 *
 * WG_POOLS: fixed pools and heap, and a core lock (CONFIG_LWIP_TCPIP_CORE_LOCKING=y).
 * Otherwise ESP-IDF's defaults: every buffer from malloc, where AddressSanitizer watches each, and
 * work handed to lwIP's thread. */
#ifndef WG_HOST_LWIPOPTS_H
#define WG_HOST_LWIPOPTS_H

#define NO_SYS 0
#define LWIP_SOCKET 1
#define LWIP_NETCONN 1
#define LWIP_COMPAT_SOCKETS 0
#define LWIP_POSIX_SOCKETS_IO_NAMES 0
#define LWIP_SO_RCVTIMEO 1
#define LWIP_SO_SNDTIMEO 1
#define SO_REUSE 1
#define LWIP_TIMEVAL_PRIVATE 0

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ETHERNET 0
#define LWIP_ARP 0
#define LWIP_ICMP 1
#define LWIP_DNS 1
#define DNS_MAX_SERVERS 3
#define LWIP_IPV6_NUM_ADDRESSES 3
#define LWIP_NUM_NETIF_CLIENT_DATA 1
#define IP_REASSEMBLY 1
#define IP_FRAG 1
#define LWIP_NETIF_API 1
#define LWIP_NETIF_LOOPBACK 1
#define LWIP_STATS 0

#define TCP_MSS 1440
#define TCP_WND 5760
#define TCP_SND_BUF 5760
#define TCP_QUEUE_OOSEQ 1
#define TCPIP_MBOX_SIZE 32
#define DEFAULT_UDP_RECVMBOX_SIZE 6
#define DEFAULT_TCP_RECVMBOX_SIZE 6
#define DEFAULT_ACCEPTMBOX_SIZE 6
#define MEMP_NUM_NETCONN 16
#define MEMP_NUM_TCP_PCB 16
#define MEMP_NUM_UDP_PCB 16
/* A test that opens and aborts a thousand connections does not wait for a thousand TIME-WAITs. */
#define TCP_MSL 100

#ifdef WG_POOLS
#define MEMP_MEM_MALLOC 0
#define MEM_LIBC_MALLOC 0
#define MEM_SIZE (48 * 1024)
#define PBUF_POOL_SIZE 16
#define LWIP_TCPIP_CORE_LOCKING 1
#else
#define MEMP_MEM_MALLOC 1
#define MEM_LIBC_MALLOC 1
#define mem_clib_malloc host_malloc
#define mem_clib_calloc host_calloc
#define LWIP_TCPIP_CORE_LOCKING 0
#include <stddef.h>
void *host_malloc(size_t size);
void *host_calloc(size_t count, size_t size);
#endif

#define MEM_ALIGNMENT 8
#define SYS_LIGHTWEIGHT_PROT 1

/* A call without the lock, or from the wrong thread, ends the program. */
void sys_check_core_locking(void);
#define LWIP_ASSERT_CORE_LOCKED() sys_check_core_locking()
void sys_mark_tcpip_thread(void);
#define LWIP_MARK_TCPIP_THREAD() sys_mark_tcpip_thread()
#if LWIP_TCPIP_CORE_LOCKING
void sys_lock_tcpip_core(void);
#define LOCK_TCPIP_CORE() sys_lock_tcpip_core()
void sys_unlock_tcpip_core(void);
#define UNLOCK_TCPIP_CORE() sys_unlock_tcpip_core()
#endif

/* ESP-IDF defines this name, which our hooks replace. */
#define LWIP_HOOK_IP4_ROUTE_SRC ip4_route_src_hook
#define LWIP_HOOK_FILENAME "wg_netif_hooks.h"

/* Debian patches lwIP's sockets for the system's headers, which this build does not use. */
#define IP4ADDR_SOCKADDR_SET_LEN(sin) (sin)->sin_len = sizeof(struct sockaddr_in)
#define IP6ADDR_SOCKADDR_SET_LEN(sin6) (sin6)->sin6_len = sizeof(struct sockaddr_in6)
#define IPADDR_SOCKADDR_GET_LEN(address) (address)->sa.sa_len

#endif
