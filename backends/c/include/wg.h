/* WireGuard for firmware in C and C++: the protocol, without sockets, clock, heap or threads.
 *
 * What a socket receives goes in, what is to be sent comes out, and the engine says when it wants to
 * be called next and why. All memory is the caller's. wg_lwip.h is a network interface for lwIP on
 * top of this; here is what any other stack, and any other program, needs.
 *
 *     WG_STORAGE(storage, 1, 2);                     // one peer, two allowed IPs
 *     struct wg *wg;
 *     wg_peer peer;
 *     wg_init(&wg, &storage, sizeof storage, 1, 2, &port);
 *     wg_set_private_key_base64(wg, now(), my_private_key);
 *     wg_add_peer_base64(wg, gateways_public_key, &peer);
 *     wg_add_allowed_ip_text(wg, peer, "10.0.0.0/8");
 *     wg_set_endpoint(wg, now(), peer, &gateway);
 *
 * The law of driving: after every call that is given the time, and that is not one of these three,
 *   1. wg_poll_event until WG_NONE; at WG_EVENT_SESSION_UP, seal what waits for that peer;
 *   2. wg_poll_transmit until it is not WG_OK, sending each datagram;
 *   3. wg_poll_timeout, and sleep until then or until there is input. When the time has come,
 *      wg_handle_timeout.
 * An extra call of any of these does no harm. A late one delays what it would have done.
 *
 * Errors. Functions that return int return WG_OK, WG_NONE where there is nothing, or a negative code
 * of enum wg_result; wg_name and wg_strerror say what it means. After an error nothing is changed,
 * and what a pointer for an answer points to is as it was. NULL where a pointer is needed is
 * WG_ERR_NULL, never a crash.
 *
 * Threads. No locks and no variables of its own: two engines know nothing of each other. One engine
 * takes one call at a time; a callback that calls its own engine gets WG_ERR_BUSY. Interrupt handlers
 * do not call it. On 32-bit processors a handshake takes 4 KB of stack, and a packet 1.4 KB.
 *
 * Lifetimes. Nothing that is passed in is kept after the call, but for the memory given to wg_init
 * and the context of the callbacks. A pointer that comes out in a structure points into the buffer
 * that was passed in, or to a constant text.
 *
 * Time is microseconds since any origin, such as boot. It never steps back, and goes on while the
 * processor sleeps. */
#ifndef WG_H
#define WG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- results ------------------------------------------------------------------------------------ */

enum wg_result {
  WG_OK = 0,
  WG_NONE = 1,        /* There is nothing, or no more. */
  WG_IDLE = 2,        /* Of a peer: there is no session, and nothing asked for one. */
  WG_HANDSHAKING = 3, /* Of a peer: the first handshake message is on its way. */

  WG_ERR_NULL = -1,            /* A pointer is NULL that must not be. */
  WG_ERR_NOT_INITIALIZED = -2, /* The engine was wiped, or never initialised. */
  WG_ERR_BUSY = -3,            /* The engine is in another call. */
  WG_ERR_ARGUMENT = -4,        /* A number is out of its range. */
  WG_ERR_STORAGE_SIZE = -5,    /* The memory is smaller than wg_storage_size says. */
  WG_ERR_STORAGE_ALIGN = -6,   /* The memory's address is no multiple of 8. */
  WG_ERR_RANDOM = -7,          /* The random source failed, so there is no handshake and no key. */
  WG_ERR_KEY_LENGTH = -8,      /* A key in base64 has not 44 characters. */
  WG_ERR_KEY_BASE64 = -9,      /* A key of 44 characters is not base64 of 32 bytes. */
  WG_ERR_KEY_ZERO = -10,       /* A private key is all zero. */
  WG_ERR_ADDRESS = -11,        /* No IPv4 or IPv6 address, or a prefix that is too long. */
  WG_ERR_ENDPOINT = -12,       /* An endpoint without an address or with port 0. */
  WG_ERR_PEERS_FULL = -13,     /* There is no room for another peer. */
  WG_ERR_ROUTES_FULL = -14,    /* There is no room for another allowed IP. */
  WG_ERR_OWN_KEY = -15,        /* A peer's public key is our own. */
  WG_ERR_NO_PEER = -16,        /* There is no such peer, or it was removed. */
  WG_ERR_NO_SESSION = -17,     /* No session yet; one is asked for. Keep the packet, or drop it. */
  WG_ERR_BUFFER = -18,         /* The buffer is too small for head room, packet, padding and tag. */
  WG_ERR_ROUTING_LOOP = -19,   /* The packet is a datagram of this tunnel; its route leads into it. */
  WG_ERR_TEXT = -20,           /* A text is not UTF-8. */
  WG_ERR_CONFIG = -21,         /* A wg-quick text has a mistake: see struct wg_config. */
  WG_ERR_NO_PRIVATE_KEY = -22, /* A wg-quick text has no private key, and neither has the engine. */
  WG_ERR_RECORD = -23,         /* The lasting memory cannot be read or written. */

  /* Why a packet went no further, or why there is no session. Each is counted: see wg_count. */
  WG_REFUSED_MALFORMED = -100,
  WG_REFUSED_DOWN = -101,
  WG_REFUSED_NO_PRIVATE_KEY = -102,
  WG_REFUSED_CLOCK_NOT_SET = -103,
  WG_REFUSED_CLOCK_RESERVE = -104,
  WG_REFUSED_NO_ENDPOINT = -105,
  WG_REFUSED_UNANSWERED = -106,
  WG_REFUSED_NO_ROUTE = -107,
  WG_REFUSED_MAC1_MISMATCH = -108,
  WG_REFUSED_SOURCE_LIMIT = -109,
  WG_REFUSED_ZERO_SHARED_SECRET = -110,
  WG_REFUSED_STATIC_UNDECRYPTABLE = -111,
  WG_REFUSED_UNKNOWN_PEER = -112,
  WG_REFUSED_TIMESTAMP_UNDECRYPTABLE = -113,
  WG_REFUSED_STALE_TIMESTAMP = -114,
  WG_REFUSED_INITIATION_FLOOD = -115,
  WG_REFUSED_UNKNOWN_INDEX = -116,
  WG_REFUSED_RESPONSE_UNDECRYPTABLE = -117,
  WG_REFUSED_UNEXPECTED_COOKIE = -118,
  WG_REFUSED_COOKIE_UNDECRYPTABLE = -119,
  WG_REFUSED_SESSION_EXPIRED = -120,
  WG_REFUSED_COUNTER_EXHAUSTED = -121,
  WG_REFUSED_REPLAYED = -122,
  WG_REFUSED_TOO_OLD = -123,
  WG_REFUSED_FORGED = -124,
  WG_REFUSED_SESSION_GONE = -125,
  WG_REFUSED_MALFORMED_INNER = -126,
  WG_REFUSED_NOT_ALLOWED_SOURCE = -127,
  WG_REFUSED_CONGESTION_LOST = -128
};

/* What a code means and what to do about it, in one sentence. Never NULL. */
const char *wg_strerror(int result);
/* The code's name in the list above, such as "WG_ERR_RANDOM". Never NULL. */
const char *wg_name(int result);
/* The version of the library, such as "0.1.0". */
const char *wg_version(void);

/* ---- memory and callbacks ------------------------------------------------------------------------ */

#if UINTPTR_MAX > 0xffffffffu
#define WG_STORAGE_BASE 1152u
#define WG_STORAGE_PER_PEER 3136u
#else
#define WG_STORAGE_BASE 864u
#define WG_STORAGE_PER_PEER 1216u
#endif
#define WG_STORAGE_PER_ROUTE 80u

/* Bytes for an engine with so many peers, and so many allowed IPs over all of them, as a constant.
 * Never less than wg_storage_size, and a little more; on processors of 64 bits twice as much. Both numbers are at least 1. */
#define WG_STORAGE_SIZE(peers, routes)                                                       \
  (WG_STORAGE_BASE + (size_t)(peers)*WG_STORAGE_PER_PEER + (size_t)(routes)*WG_STORAGE_PER_ROUTE)

/* Defines such memory, rightly aligned: WG_STORAGE(memory, 1, 2); */
#define WG_STORAGE(name, peers, routes)                                                      \
  static union {                                                                             \
    uint64_t align;                                                                          \
    unsigned char bytes[WG_STORAGE_SIZE(peers, routes)];                                     \
  } name

/* The bytes that are needed exactly; 0 when one of the numbers is 0 or too large for this processor. */
size_t wg_storage_size(size_t peers, size_t routes);

/* Bytes of the record of lasting memory. */
#define WG_RECORD_LEN 16

/* What the engine asks of the board. Callbacks run inside of a call of the engine, and do not call it.
 * Each returns 0 for success. */
struct wg_port {
  /* Handed to the callbacks. */
  void *context;
  /* Fills `bytes` with randomness fit for keys, or returns anything but 0. Needed. It is asked for 64
   * bytes when the engine starts, which seed a generator, and by wg_reseed. While it fails, nothing
   * that needs randomness is done: WG_ERR_RANDOM. */
  int (*random)(void *context, uint8_t *bytes, size_t length);
  /* The time of day: seconds since 1970 and nanoseconds, or anything but 0 while it is unknown.
   * NULL where it never is. A time before 2025 counts as unknown. */
  int (*unix_time)(void *context, uint64_t *seconds, uint32_t *nanoseconds);
  /* Reads the record: 0 when it was there, WG_NONE when none was ever saved, anything else when the
   * memory failed. `load` and `save` are both given, or both NULL. */
  int (*load)(void *context, uint8_t record[WG_RECORD_LEN]);
  /* Keeps the record over reboots and power cuts. 0 only when it is safe. It is called once after a
   * start and then about every thousand handshakes, from inside of wg_poll_transmit. A record cut
   * off by a power cut is noticed, and counts as none. */
  int (*save)(void *context, const uint8_t record[WG_RECORD_LEN]);
};
/* Peers refuse a handshake that is not newer than the last one, so timestamps rise over every reboot.
 * With `load` and `save` they do, whatever the time of day: it is never needed, and moves them forward
 * where it is known. With `unix_time` alone there is no handshake while it is unknown:
 * WG_REFUSED_CLOCK_NOT_SET. With neither there never is one from our side; a peer can still call us.
 * Two engines need two records. */

/* An engine. */
struct wg;

/* Makes an engine in `memory` of `size` bytes at a multiple of 8, which is its own until wg_wipe: it
 * must not be read, written or moved. The memory may have held another engine, or anything.
 * `port` is copied; its context is used until wg_wipe.
 *
 * A random source that fails is no error here: it is asked again at every need of it.
 *
 * WG_ERR_NULL (also for `random`, or one alone of `load` and `save`), WG_ERR_ARGUMENT (no peers or no
 * routes, or too many), WG_ERR_STORAGE_SIZE, WG_ERR_STORAGE_ALIGN. */
int wg_init(struct wg **wg, void *memory, size_t size, size_t peers, size_t routes,
            const struct wg_port *port);

/* Ends an engine: every secret in its memory is overwritten, and the memory is the caller's again.
 * The peers are not told, since the protocol has no such message. Later calls with the pointer are
 * WG_ERR_NOT_INITIALIZED as long as the memory is not used for something else. */
int wg_wipe(struct wg *wg);

/* Overwrites bytes that held a secret. The compiler does not leave it out. */
void wg_wipe_bytes(void *bytes, size_t length);

/* Mixes new randomness into the generator. WG_ERR_RANDOM leaves it as good as it was. */
int wg_reseed(struct wg *wg);

/* ---- keys --------------------------------------------------------------------------------------- */

/* Bytes of a key, private, public or pre-shared. */
#define WG_KEY_LEN 32
/* Bytes of a key in base64, with its end. */
#define WG_KEY_TEXT_LEN 45

/* WG_ERR_KEY_LENGTH, WG_ERR_KEY_BASE64. Takes a time that does not depend on the key. */
int wg_key_from_base64(uint8_t key[WG_KEY_LEN], const char *text);
int wg_key_to_base64(char text[WG_KEY_TEXT_LEN], const uint8_t key[WG_KEY_LEN]);
/* Draw a new key from the engine's generator. WG_ERR_RANDOM. */
int wg_generate_private_key(struct wg *wg, uint8_t key[WG_KEY_LEN]);
int wg_generate_preshared_key(struct wg *wg, uint8_t key[WG_KEY_LEN]);
/* The public key that belongs to a private one. WG_ERR_KEY_ZERO. */
int wg_public_key(uint8_t public_key[WG_KEY_LEN], const uint8_t private_key[WG_KEY_LEN]);

/* ---- addresses ---------------------------------------------------------------------------------- */

/* An address, in network order; IPv4 takes the first four bytes. */
struct wg_address {
  uint8_t bytes[16];
  uint8_t family; /* 4 or 6; 0 for no address */
};

/* Where a datagram comes from or goes to. */
struct wg_endpoint {
  struct wg_address address;
  uint16_t port;
};

/* Reads "192.0.2.1" or "2001:db8::1". WG_ERR_ADDRESS. */
int wg_parse_address(struct wg_address *address, const char *text);

/* ---- settings, which can change at any time ------------------------------------------------------- */

/* A peer's name in this engine, until it is removed; never used again for another one. */
typedef uint64_t wg_peer;
/* No peer's name. */
#define WG_NO_PEER UINT64_MAX

/* The engine's identity; NULL takes it away. The same key again changes nothing; another one ends all
 * sessions. Costs an X25519 operation, and one for each peer. WG_ERR_KEY_ZERO, and those of
 * wg_key_from_base64. */
int wg_set_private_key(struct wg *wg, uint64_t now, const uint8_t key[WG_KEY_LEN]);
int wg_set_private_key_base64(struct wg *wg, uint64_t now, const char *text);
/* Our own public key. WG_NONE without a private one. */
int wg_own_public_key(struct wg *wg, uint8_t key[WG_KEY_LEN]);

/* Adds a peer, or finds it when it exists. Costs an X25519 operation for a new one.
 * WG_ERR_PEERS_FULL, WG_ERR_OWN_KEY. */
int wg_add_peer(struct wg *wg, const uint8_t public_key[WG_KEY_LEN], wg_peer *peer);
int wg_add_peer_base64(struct wg *wg, const char *public_key, wg_peer *peer);
/* Removes a peer with its sessions, keys and allowed IPs. WG_ERR_NO_PEER. */
int wg_remove_peer(struct wg *wg, wg_peer peer);
/* The peer with this key. WG_NONE. */
int wg_find_peer(struct wg *wg, const uint8_t public_key[WG_KEY_LEN], wg_peer *peer);
/* The peer after `*peer`, from WG_NO_PEER the first one. WG_NONE after the last. */
int wg_next_peer(struct wg *wg, wg_peer *peer);

/* All of these: WG_ERR_NO_PEER. */

/* The pre-shared key of the next handshake; NULL, or a key of zeros, for none. */
int wg_set_preshared_key(struct wg *wg, wg_peer peer, const uint8_t key[WG_KEY_LEN]);
int wg_set_preshared_key_base64(struct wg *wg, wg_peer peer, const char *text);
/* Where the peer is. It moves by itself when the peer sends from somewhere else. A handshake that
 * waited for an endpoint begins. WG_ERR_ENDPOINT. */
int wg_set_endpoint(struct wg *wg, uint64_t now, wg_peer peer, const struct wg_endpoint *endpoint);
/* Seconds of silence after which an empty packet is sent, 0 for never. Switched on, it sends one at
 * once, for which there is a handshake first. */
int wg_set_keepalive(struct wg *wg, uint64_t now, wg_peer peer, uint16_t seconds);
/* Routes a prefix to this peer, and accepts packets from it. What was another peer's moves. Host bits
 * are cleared. WG_ERR_ADDRESS, WG_ERR_ROUTES_FULL. */
int wg_add_allowed_ip(struct wg *wg, wg_peer peer, const struct wg_address *address,
                      uint8_t prefix_len);
/* The same of "10.0.0.0/8" or "fd00::/64"; an address alone is a prefix of its own. */
int wg_add_allowed_ip_text(struct wg *wg, wg_peer peer, const char *text);
int wg_remove_allowed_ips(struct wg *wg, wg_peer peer);
/* Asks for a session unless there is one, as a packet for the peer would. */
int wg_connect(struct wg *wg, uint64_t now, wg_peer peer);

/* The largest inner packet, which padding does not exceed; 1420 at first, 0 for no limit. */
int wg_set_mtu(struct wg *wg, uint16_t mtu);
/* A new engine is up. Down wipes all session keys and stops all timers; settings stay. */
int wg_up(struct wg *wg, uint64_t now);
int wg_down(struct wg *wg);

/* ---- driving ------------------------------------------------------------------------------------ */

/* Bytes before a packet that wg_seal needs; behind it, up to 15 of padding and 16 of tag. */
#define WG_HEADROOM 16
#define WG_TAILROOM 31
/* The size of a buffer for wg_poll_transmit. */
#define WG_TRANSMIT_LEN 148

/* A datagram to send. It may be lost: the protocol recovers. */
struct wg_transmit {
  wg_peer peer;             /* WG_NO_PEER for a cookie reply */
  uint8_t *datagram;        /* in the buffer that was passed in */
  size_t length;
  struct wg_endpoint to;
  struct wg_address from;   /* the address of ours that it should leave from; family 0 for any */
  uint8_t traffic_class;    /* of the outer IP header */
};

enum wg_received_kind {
  WG_RECEIVED_PACKET = 0,    /* An inner IP packet. */
  WG_RECEIVED_KEEPALIVE = 1, /* An empty packet: the peer is alive. */
  WG_RECEIVED_REPLY = 2,     /* A datagram to send at once. */
  WG_RECEIVED_HANDSHAKE = 3, /* A session was completed. */
  WG_RECEIVED_COOKIE = 4     /* A cookie, for the next handshake. */
};

/* What a datagram turned out to be. */
struct wg_received {
  uint8_t kind;             /* enum wg_received_kind */
  wg_peer peer;             /* who sent it; WG_NO_PEER for a reply to a stranger */
  uint8_t *packet;          /* WG_RECEIVED_PACKET: in the buffer of the datagram; else NULL */
  size_t length;
  struct wg_transmit reply; /* WG_RECEIVED_REPLY: in the buffer of the datagram; else all zero */
};

/* Takes a datagram that came from `from` to the address `to` of ours, decrypts it in place and says
 * what it is. `to` is NULL where the stack does not tell. Costs at most four X25519 operations.
 *
 * WG_REFUSED_...: dropped and counted; nothing of the buffer is of use then. WG_ERR_RANDOM: it would
 * need randomness, and there is none. WG_ERR_ENDPOINT: `from` is no endpoint. */
int wg_handle_datagram(struct wg *wg, uint64_t now, const struct wg_endpoint *from,
                       const struct wg_address *to, uint8_t *datagram, size_t length,
                       struct wg_received *received);

/* Makes a datagram of the inner packet of `length` bytes at buffer + WG_HEADROOM, in place, for the
 * peer that its destination routes to. `size` is the whole buffer's; length + WG_HEADROOM +
 * WG_TAILROOM is always enough. A buffer at a multiple of 4 is encrypted faster.
 *
 * The packet is as it was after: WG_ERR_NO_SESSION (keep it until WG_EVENT_SESSION_UP, or drop it),
 * WG_ERR_BUFFER, WG_ERR_ROUTING_LOOP, WG_REFUSED_NO_ROUTE, WG_REFUSED_NO_ENDPOINT,
 * WG_REFUSED_MALFORMED_INNER, WG_REFUSED_DOWN. */
int wg_seal(struct wg *wg, uint64_t now, uint8_t *buffer, size_t size, size_t length,
            struct wg_transmit *transmit);

/* The next datagram of the protocol's own, in `buffer`. WG_NONE when there is no more. WG_ERR_RANDOM:
 * it waits until there is randomness. An initiation costs three X25519 operations. */
int wg_poll_transmit(struct wg *wg, uint64_t now, uint8_t buffer[WG_TRANSMIT_LEN],
                     struct wg_transmit *transmit);

enum wg_reason {
  WG_REASON_RETRANSMIT = 0,           /* A handshake is unanswered. */
  WG_REASON_PASSIVE_KEEPALIVE = 1,    /* Data was received, and nothing was sent since. */
  WG_REASON_NEW_HANDSHAKE = 2,        /* Data was sent, and nothing was received since. */
  WG_REASON_PERSISTENT_KEEPALIVE = 3, /* The keepalive of a peer. */
  WG_REASON_SESSION_EXPIRY = 4,       /* A session reaches its greatest age. */
  WG_REASON_WIPE_KEYS = 5,            /* Old keys are to be wiped. */
  WG_REASON_RANDOM = 6                /* The random source failed, and is to be asked again. */
};

/* When wg_handle_timeout is to be called, and why. WG_NONE while there is nothing to wait for.
 * `reason` (enum wg_reason) may be NULL. */
int wg_poll_timeout(struct wg *wg, uint64_t *at, int *reason);
/* Serves the peer whose deadline passed first, if one did. Does nothing when called early. */
int wg_handle_timeout(struct wg *wg, uint64_t now);

enum wg_event_kind {
  WG_EVENT_ENDPOINT_MOVED = 0,     /* The peer's address changed. */
  WG_EVENT_SESSION_EXPIRED = 1,    /* Nothing more can be sent until there is a new session. */
  WG_EVENT_HANDSHAKE_GIVEN_UP = 2, /* No answer to all tries. Drop what waits for the peer. */
  WG_EVENT_SESSION_UP = 3          /* Send what waits for the peer. */
};

struct wg_event {
  wg_peer peer;
  uint8_t kind; /* enum wg_event_kind */
};

/* The next piece of news. WG_NONE when there is no more. */
int wg_poll_event(struct wg *wg, struct wg_event *event);

/* ---- status ------------------------------------------------------------------------------------- */

/* No time. */
#define WG_NEVER UINT64_MAX

struct wg_status {
  uint8_t public_key[WG_KEY_LEN];
  /* WG_OK: there is a session. WG_IDLE, WG_HANDSHAKING, WG_ERR_RANDOM, WG_ERR_RECORD, or the WG_REFUSED_... that
   * stands between the peer and a session. wg_strerror says it in words. */
  int connection;
  struct wg_endpoint endpoint; /* family 0 when it is not known */
  uint64_t last_handshake;     /* or WG_NEVER */
  uint64_t session_birth;      /* or WG_NEVER */
  uint64_t received_bytes;     /* of whole datagrams, as the Linux kernel counts */
  uint64_t sent_bytes;
  uint16_t keepalive;
};

/* WG_ERR_NO_PEER. */
int wg_get_status(struct wg *wg, uint64_t now, wg_peer peer, struct wg_status *status);

/* How often something was refused: one of WG_REFUSED_..., or WG_ERR_ROUTING_LOOP. Of one peer, or of
 * all and of strangers with WG_NO_PEER. 0 for everything else. */
uint32_t wg_count(struct wg *wg, wg_peer peer, int refusal);

enum wg_clock {
  WG_CLOCK_NOT_LOADED = 0,  /* No timestamp was needed yet, or the lasting memory cannot be used. */
  WG_CLOCK_UNANCHORED = 1,  /* The time of day was never known since the lasting memory was empty. */
  WG_CLOCK_STORED = 2,      /* The time of day is unknown; timestamps go on from the last boot. */
  WG_CLOCK_STEADY = 3,      /* Timestamps follow the time of day. */
  WG_CLOCK_AHEAD = 4,       /* They are a day or more ahead of it. It was wrong once, or is now. */
  WG_CLOCK_LEAP_REFUSED = 5 /* It is ten years or more ahead of them, and is not followed. */
};

/* How timestamps stand to the time of day: an enum wg_clock, or an error. */
int wg_get_clock(struct wg *wg);

/* ---- wg-quick ----------------------------------------------------------------------------------- */

/* So many addresses and name servers of a text are told. */
#define WG_CONFIG_ADDRESSES 4

/* What a wg-quick text says beside what the engine takes from it. */
struct wg_config {
  struct wg_address addresses[WG_CONFIG_ADDRESSES]; /* ours in the tunnel; the others family 0 */
  uint8_t prefix_lens[WG_CONFIG_ADDRESSES];
  struct wg_address dns_servers[WG_CONFIG_ADDRESSES];
  uint16_t listen_port; /* 0 for any */
  uint16_t mtu;         /* 0 when the text has none */
  uint32_t fw_mark;
  /* With WG_ERR_CONFIG: where the mistake is, from 1, and what to do about it. The sentence holds no
   * part of the text, so it can be logged. */
  uint32_t line;
  uint32_t column;
  char sentence[192];
};

/* Gives the engine what a whole wg-quick text says: private key, MTU, and peers with keys, allowed
 * IPs, keepalive and those endpoints that are addresses. Peers that are not in the text are removed;
 * those that are go on with their sessions. A text without a private key keeps the engine's.
 * Endpoints that are names are the caller's to resolve: wg_config_endpoint.
 *
 * Nothing is changed after WG_ERR_CONFIG, WG_ERR_TEXT, WG_ERR_NO_PRIVATE_KEY, WG_ERR_OWN_KEY,
 * WG_ERR_PEERS_FULL and WG_ERR_ROUTES_FULL. `config` is written after WG_OK, WG_ERR_CONFIG and WG_ERR_TEXT. */
int wg_configure(struct wg *wg, uint64_t now, const char *text, size_t length,
                 struct wg_config *config);

/* Says the same of a text without an engine, which may need the addresses first. `config` is written in
 * any case but WG_ERR_NULL. WG_ERR_CONFIG, WG_ERR_TEXT. */
int wg_read_config(const char *text, size_t length, struct wg_config *config);

/* The endpoint of the text's peer `number`, counted from 0: its public key, host (a name or an
 * address) and port. WG_NONE when the text has no such peer; a peer without an endpoint has an empty
 * host and port 0. WG_ERR_CONFIG, WG_ERR_TEXT; WG_ERR_BUFFER when `size` is too small for the host and
 * its end, for which 256 is always enough. */
int wg_config_endpoint(const char *text, size_t length, size_t number,
                       uint8_t public_key[WG_KEY_LEN], char *host, size_t size, uint16_t *port);

#ifdef __cplusplus
}
#endif

#endif
