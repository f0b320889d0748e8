/* lwIP as a board without an operating system has it. */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_STATS 0

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_IPV6_MLD 1
#define LWIP_IPV6_NUM_ADDRESSES 3
#define LWIP_ICMP 1
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_DNS 1
#define LWIP_RAW 0

/* Each reply to a neighbour that is not there takes an entry for 5 s, from the oldest that is known: with
 * the usual 10 entries, whoever sends calls under other hosts' addresses makes the board forget the card of
 * its gateway. */
#define ARP_TABLE_SIZE 127

#define MEM_ALIGNMENT 4
#define MEM_SIZE (48 * 1024)
#define PBUF_POOL_SIZE 32
#define PBUF_POOL_BUFSIZE 1536
#define MEMP_NUM_SYS_TIMEOUT 20
#define MEMP_NUM_TCP_PCB 12
#define MEMP_NUM_TCP_SEG 32
#define TCP_MSS 1360
#define TCP_WND (4 * TCP_MSS)
#define TCP_SND_BUF (4 * TCP_MSS)

#endif
