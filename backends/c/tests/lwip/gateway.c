#include "world.h"

struct gateway gateway;
struct dns dns;
static char gateway_at[48] = "192.0.2.9";
static uint8_t kept[1600];
static size_t kept_length;

/* ---- datagrams ---- */

static uint16_t checksum(const uint8_t *bytes, size_t length, uint32_t sum) {
  for (size_t i = 0; i < length; i++) {
    sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
  }
  while (sum >> 16 != 0) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return (uint16_t)~sum;
}

static void put16(uint8_t *to, unsigned value) {
  to[0] = (uint8_t)(value >> 8);
  to[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *from) { return (unsigned)from[0] << 8 | from[1]; }

/* A UDP datagram to the board, from where `to` says that the board sent. */
static void answer(const struct wg_endpoint *from, const struct wg_endpoint *to, const uint8_t *bytes,
                   size_t length) {
  uint8_t packet[1600] = {0};
  uint8_t *udp;
  size_t address = to->address.family == 4 ? 4 : 16, header = address == 4 ? 20 : 40;
  udp = packet + header;
  put16(udp, from->port);
  put16(udp + 2, to->port);
  put16(udp + 4, (unsigned)length + 8);
  memcpy(udp + 8, bytes, length);
  if (address == 4) {
    packet[0] = 0x45;
    put16(packet + 2, (unsigned)(length + 28));
    packet[8] = 64;
    packet[9] = 17;
    memcpy(packet + 12, from->address.bytes, 4);
    memcpy(packet + 16, to->address.bytes, 4);
    put16(packet + 10, checksum(packet, 20, 0));
  } else {
    packet[0] = 0x60;
    put16(packet + 4, (unsigned)length + 8);
    packet[6] = 17;
    packet[7] = 64;
    memcpy(packet + 8, from->address.bytes, 16);
    memcpy(packet + 24, to->address.bytes, 16);
    put16(udp + 6, checksum(packet + 8, 32 + 8 + length, 17 + (uint32_t)length + 8));
  }
  to_board(packet, header + 8 + length);
}

/* ---- the gateway ---------------------------------------------------------------------------------- */

static void gateway_send(const struct wg_transmit *transmit) {
  struct wg_endpoint from;
  memset(&from, 0, sizeof from);
  from.port = 51820;
  OK(wg_parse_address(&from.address, transmit->to.address.family == 4 ? gateway_at : "2001:db8::9"));
  if (!gateway.is_silent) {
    answer(&from, &transmit->to, transmit->datagram, transmit->length);
  }
}

/* Turns a packet round, so that it goes back to who sent it; false for what is not answered. */
static bool turn(uint8_t *packet, size_t length) {
  bool v4 = packet[0] >> 4 == 4;
  size_t address = v4 ? 4 : 16, header = v4 ? 20 : 40, at = v4 ? 12 : 8;
  uint8_t protocol = v4 ? packet[9] : packet[6], swap[16];
  uint8_t *transport = packet + header;
  CHECK(length >= header + 8);
  memcpy(swap, packet + at, address);
  memcpy(packet + at, packet + at + address, address);
  memcpy(packet + at + address, swap, address);
  unsigned target = get16(transport + 2);
  put16(swap, get16(transport));
  put16(transport, target);
  memcpy(transport + 2, swap, 2);
  if (protocol == 17 && target == 7) {
    return true;
  }
  if (protocol == 6 && v4 && target == 80) { /* refuse: a reset that acknowledges the SYN */
    size_t segment = length - header;
    CHECK(segment >= 24 && transport[20] == 2 && get16(transport + 22) == 1420 - 40);
    uint32_t sequence = (uint32_t)get16(transport + 4) << 16 | get16(transport + 6);
    memset(transport + 4, 0, 4);
    put16(transport + 8, (sequence + 1) >> 16);
    put16(transport + 10, (sequence + 1) & 0xffff);
    transport[13] = 0x14;
    put16(transport + 16, 0);
    put16(transport + 16, checksum(packet + 12, 8 + segment, 6 + (uint32_t)segment));
    return true;
  }
  return false;
}

static void gateway_receive(const struct wg_endpoint *from, uint8_t *datagram, size_t length) {
  struct wg_received received;
  int result;
  gateway.initiations += length == 148 && datagram[0] == 1;
  if (gateway.is_silent) {
    return;
  }
  result = wg_handle_datagram(gateway.wg, time_us, from, NULL, datagram, length, &received);
  if (result == WG_OK && received.kind == WG_RECEIVED_REPLY) {
    gateway_send(&received.reply);
  } else if (result == WG_OK && received.kind == WG_RECEIVED_PACKET) {
    static _Alignas(8) uint8_t buffer[1600];
    struct wg_transmit transmit;
    gateway.packets++;
    memcpy(buffer + WG_HEADROOM, received.packet, received.length);
    if (turn(buffer + WG_HEADROOM, received.length)) {
      OK(wg_seal(gateway.wg, time_us, buffer, sizeof buffer, received.length, &transmit));
      gateway_send(&transmit);
    }
  }
}

void gateway_drive(void) {
  uint8_t buffer[WG_TRANSMIT_LEN];
  struct wg_transmit transmit;
  struct wg_event event;
  uint64_t at;
  while (wg_poll_timeout(gateway.wg, &at, NULL) == WG_OK && at <= time_us) {
    OK(wg_handle_timeout(gateway.wg, time_us));
  }
  while (wg_poll_event(gateway.wg, &event) == WG_OK) {
  }
  while (wg_poll_transmit(gateway.wg, time_us, buffer, &transmit) == WG_OK) {
    if (!gateway.only_answers) {
      gateway_send(&transmit);
    }
  }
}

void gateway_moves(const char *address) { strcpy(gateway_at, address); }

/* ---- the name server ------------------------------------------------------------------------------ */

static void dns_receive(const struct wg_endpoint *from, const struct wg_endpoint *to, uint8_t *query,
                        size_t length) {
  uint8_t reply[512];
  size_t end = 12;
  dns.questions++;
  if (dns.is_slow) {
    return;
  }
  while (query[end] != 0) {
    end += 1u + query[end];
  }
  end += 5;
  CHECK(end <= length && end + 16 <= sizeof reply);
  memcpy(reply, query, end);
  put16(reply + 2, 0x8180);
  memset(reply + 6, 0, 6);
  if (dns.fails > 0) {
    dns.fails--;
    reply[3] |= 2;
  } else if (get16(query + end - 4) != 1) {
    reply[3] |= 3; /* no IPv6 */
  } else {
    struct wg_address address;
    OK(wg_parse_address(&address, gateway_at));
    put16(reply + 6, 1);
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4};
    memcpy(reply + end, record, sizeof record);
    memcpy(reply + end + sizeof record, address.bytes, 4);
    end += sizeof record + 4;
  }
  answer(to, from, reply, end);
}

/* ---- what the board sends ---- */

void frame_arrives(struct frame *frame) {
  uint8_t *packet = frame->bytes;
  bool v4 = packet[0] >> 4 == 4;
  size_t address = v4 ? 4 : 16, header = v4 ? 20 : 40, at = v4 ? 12 : 8;
  uint8_t *udp = packet + header;
  struct wg_endpoint from, to, here;
  memset(&from, 0, sizeof from);
  memset(&to, 0, sizeof to);
  if ((v4 ? packet[9] : packet[6]) != 17) {
    return; /* lwIP's own, such as multicast listeners */
  }
  from.address.family = to.address.family = v4 ? 4 : 6;
  memcpy(from.address.bytes, packet + at, address);
  memcpy(to.address.bytes, packet + at + address, address);
  from.port = (uint16_t)get16(udp);
  to.port = (uint16_t)get16(udp + 2);
  here = endpoint(v4 ? gateway_at : "2001:db8::9", 51820);
  size_t length = frame->length - header - 8;
  if (to.port == 53) {
    dns_receive(&from, &to, udp + 8, length);
  } else if (to.port == 7) {
    (void)turn(packet, frame->length);
    to_board(packet, frame->length);
  } else if (same_place(&to, &here)) {
    gateway.outer_v4 += v4;
    gateway.outer_v6 += !v4;
    if (gateway.keeps_last) {
      memcpy(kept, packet, frame->length);
      kept_length = frame->length;
    }
    gateway_receive(&from, udp + 8, length);
  }
}

void send_kept_into_tunnel(void) {
  struct pbuf *p = pbuf_alloc(PBUF_IP, (u16_t)kept_length, PBUF_RAM);
  ip4_addr_t hop;
  ip4_addr_set_zero(&hop);
  CHECK(p != NULL && kept_length > 0 && pbuf_take(p, kept, (u16_t)kept_length) == ERR_OK);
  CHECK(tunnel.netif.output(&tunnel.netif, p, &hop) == ERR_RTE);
  pbuf_free(p);
}

void flood(unsigned count) {
  struct wg_endpoint from = endpoint(gateway_at, 51820), to = endpoint("192.168.4.2", 1);
  uint8_t message[148] = {1};
  to.port = tunnel.pcb->local_port;
  while (count-- > 0) {
    answer(&from, &to, message, sizeof message);
  }
}
