/* lwIP for the tests of wg_lwip, in two ways: WG_NO_SYS, a main loop without an operating system; and
 * with the tcpip thread and a core lock, as ESP-IDF has it. A call without the lock ends the program. */
#ifndef WG_TEST_LWIPOPTS_H
#define WG_TEST_LWIPOPTS_H

#ifdef WG_NO_SYS
#define NO_SYS 1
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define SYS_LIGHTWEIGHT_PROT 0
#else
#define NO_SYS 0
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define SYS_LIGHTWEIGHT_PROT 1
#define LWIP_TCPIP_CORE_LOCKING 1
#define TCPIP_MBOX_SIZE 32
void sys_check_core_locking(void);
#define LWIP_ASSERT_CORE_LOCKED() sys_check_core_locking()
void sys_mark_tcpip_thread(void);
#define LWIP_MARK_TCPIP_THREAD() sys_mark_tcpip_thread()
void sys_lock_tcpip_core(void);
void sys_unlock_tcpip_core(void);
#ifdef WG_TEST_ESP
/* ESP-IDF's lock knows its holder. */
#ifdef __cplusplus
extern "C" {
#endif
void stand_in_lock(void);
void stand_in_unlock(void);
#define LOCK_TCPIP_CORE() stand_in_lock()
#define UNLOCK_TCPIP_CORE() stand_in_unlock()
#include <stdbool.h>
#define LWIP_CORE_LOCK_QUERY_HOLDER 0
bool sys_thread_tcpip(int query);
#ifdef __cplusplus
}
#endif
#else
#define LOCK_TCPIP_CORE() sys_lock_tcpip_core()
#define UNLOCK_TCPIP_CORE() sys_unlock_tcpip_core()
#endif
#endif

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ETHERNET 0
#define LWIP_ARP 0
#define LWIP_ICMP 1
#define LWIP_DNS 1
#define LWIP_TCP 1
#define LWIP_UDP 1
#define LWIP_RAW 0
#define LWIP_STATS 0
#define LWIP_IPV6_NUM_ADDRESSES 3
#define IP_FRAG 1
#define IP_REASSEMBLY 1
#define TCP_MSS 1440
#define TCP_WND 5760
#define TCP_SND_BUF 5760
#define TCP_QUEUE_OOSEQ 1
#define MEMP_NUM_UDP_PCB 6
#define MEMP_NUM_SYS_TIMEOUT 24
#define MEM_ALIGNMENT 8
/* Every pbuf from malloc, where AddressSanitizer watches each. */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 0
#define PBUF_POOL_SIZE 16
#include <stddef.h>
void *test_malloc(size_t size);
void *test_calloc(size_t count, size_t size);
#define mem_clib_malloc test_malloc
#define mem_clib_calloc test_calloc

#endif
