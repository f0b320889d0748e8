/* NULL everywhere, keys and addresses that are none, callbacks that fail: each is a code with a name,
 * and nothing is changed. */
#include "board.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PUBLIC "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define ZERO "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

WG_STORAGE(storage, 2, 3);
static struct board board = {.seed = 7, .unix_seconds = 1800000000};
static struct wg *wg;
static wg_peer peer;
static uint8_t key[WG_KEY_LEN], buffer[256];
static char text[256];
static uint16_t number;
static struct wg_endpoint place;
static struct wg_address address;
static struct wg_transmit transmit;
static struct wg_received received;
static struct wg_status status;
static struct wg_config config;
static struct wg_event event;
static uint64_t at;

static void null_everywhere(void) {
  struct wg_port port = board_port(&board), part;
  struct wg *none = NULL;
  CHECK_CODE(wg_init(NULL, &storage, sizeof storage, 2, 3, &port), WG_ERR_NULL);
  CHECK_CODE(wg_init(&none, NULL, sizeof storage, 2, 3, &port), WG_ERR_NULL);
  CHECK_CODE(wg_init(&none, &storage, sizeof storage, 2, 3, NULL), WG_ERR_NULL);
  part = port, part.random = NULL;
  CHECK_CODE(wg_init(&none, &storage, sizeof storage, 2, 3, &part), WG_ERR_NULL);
  part = port, part.load = NULL;
  CHECK_CODE(wg_init(&none, &storage, sizeof storage, 2, 3, &part), WG_ERR_NULL);
  part = port, part.save = NULL;
  CHECK_CODE(wg_init(&none, &storage, sizeof storage, 2, 3, &part), WG_ERR_NULL);
  CHECK_CODE(wg_init(&none, &storage, wg_storage_size(2, 3) - 1, 2, 3, &port), WG_ERR_STORAGE_SIZE);
  CHECK_CODE(wg_init(&none, storage.bytes + 4, sizeof storage - 4, 1, 1, &port), WG_ERR_STORAGE_ALIGN);
  size_t wrong[][2] = {{0, 1}, {1, 0}, {SIZE_MAX, 1}, {1, SIZE_MAX}, {SIZE_MAX / 1344, 1}};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    CHECK(wg_storage_size(wrong[i][0], wrong[i][1]) == 0);
    CHECK_CODE(wg_init(&none, &storage, sizeof storage, wrong[i][0], wrong[i][1], &port),
               WG_ERR_ARGUMENT);
  }
  CHECK(none == NULL);

  /* Every function that takes an engine, without one. */
  CHECK_CODE(wg_wipe(NULL), WG_ERR_NULL);
  CHECK_CODE(wg_reseed(NULL), WG_ERR_NULL);
  CHECK_CODE(wg_generate_private_key(NULL, key), WG_ERR_NULL);
  CHECK_CODE(wg_generate_preshared_key(NULL, key), WG_ERR_NULL);
  CHECK_CODE(wg_set_private_key(NULL, 0, key), WG_ERR_NULL);
  CHECK_CODE(wg_set_private_key_base64(NULL, 0, KEY), WG_ERR_NULL);
  CHECK_CODE(wg_own_public_key(NULL, key), WG_ERR_NULL);
  CHECK_CODE(wg_add_peer(NULL, key, &peer), WG_ERR_NULL);
  CHECK_CODE(wg_add_peer_base64(NULL, PUBLIC, &peer), WG_ERR_NULL);
  CHECK_CODE(wg_remove_peer(NULL, 0), WG_ERR_NULL);
  CHECK_CODE(wg_find_peer(NULL, key, &peer), WG_ERR_NULL);
  CHECK_CODE(wg_next_peer(NULL, &peer), WG_ERR_NULL);
  CHECK_CODE(wg_set_preshared_key(NULL, 0, key), WG_ERR_NULL);
  CHECK_CODE(wg_set_preshared_key_base64(NULL, 0, KEY), WG_ERR_NULL);
  CHECK_CODE(wg_set_endpoint(NULL, 0, 0, &place), WG_ERR_NULL);
  CHECK_CODE(wg_set_keepalive(NULL, 0, 0, 25), WG_ERR_NULL);
  CHECK_CODE(wg_add_allowed_ip(NULL, 0, &address, 32), WG_ERR_NULL);
  CHECK_CODE(wg_add_allowed_ip_text(NULL, 0, "::/0"), WG_ERR_NULL);
  CHECK_CODE(wg_remove_allowed_ips(NULL, 0), WG_ERR_NULL);
  CHECK_CODE(wg_connect(NULL, 0, 0), WG_ERR_NULL);
  CHECK_CODE(wg_set_mtu(NULL, 1420), WG_ERR_NULL);
  CHECK_CODE(wg_up(NULL, 0), WG_ERR_NULL);
  CHECK_CODE(wg_down(NULL), WG_ERR_NULL);
  CHECK_CODE(wg_handle_datagram(NULL, 0, &place, NULL, buffer, 4, &received), WG_ERR_NULL);
  CHECK_CODE(wg_seal(NULL, 0, buffer, sizeof buffer, 20, &transmit), WG_ERR_NULL);
  CHECK_CODE(wg_poll_transmit(NULL, 0, buffer, &transmit), WG_ERR_NULL);
  CHECK_CODE(wg_poll_timeout(NULL, &at, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_handle_timeout(NULL, 0), WG_ERR_NULL);
  CHECK_CODE(wg_poll_event(NULL, &event), WG_ERR_NULL);
  CHECK_CODE(wg_get_status(NULL, 0, 0, &status), WG_ERR_NULL);
  CHECK_CODE(wg_get_clock(NULL), WG_ERR_NULL);
  CHECK_CODE(wg_configure(NULL, 0, "", 0, &config), WG_ERR_NULL);
  CHECK(wg_count(NULL, WG_NO_PEER, WG_REFUSED_FORGED) == 0);
  wg_wipe_bytes(NULL, 4);

  /* Every other pointer. */
  OK(wg_init(&wg, &storage, sizeof storage, 2, 3, &port));
  OK(wg_add_peer_base64(wg, PUBLIC, &peer));
  CHECK_CODE(wg_generate_private_key(wg, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_generate_preshared_key(wg, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_set_private_key_base64(wg, 0, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_own_public_key(wg, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_own_public_key(wg, key), WG_NONE);
  CHECK_CODE(wg_add_peer(wg, NULL, &peer), WG_ERR_NULL);
  CHECK_CODE(wg_add_peer(wg, key, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_add_peer_base64(wg, NULL, &peer), WG_ERR_NULL);
  CHECK_CODE(wg_add_peer_base64(wg, PUBLIC, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_find_peer(wg, NULL, &peer), WG_ERR_NULL);
  CHECK_CODE(wg_find_peer(wg, key, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_next_peer(wg, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_set_preshared_key_base64(wg, peer, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_set_endpoint(wg, 0, peer, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_add_allowed_ip(wg, peer, NULL, 0), WG_ERR_NULL);
  CHECK_CODE(wg_add_allowed_ip_text(wg, peer, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_handle_datagram(wg, 0, NULL, NULL, buffer, 4, &received), WG_ERR_NULL);
  CHECK_CODE(wg_handle_datagram(wg, 0, &place, NULL, NULL, 4, &received), WG_ERR_NULL);
  CHECK_CODE(wg_handle_datagram(wg, 0, &place, NULL, buffer, 4, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_seal(wg, 0, NULL, sizeof buffer, 20, &transmit), WG_ERR_NULL);
  CHECK_CODE(wg_seal(wg, 0, buffer, sizeof buffer, 20, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_poll_transmit(wg, 0, NULL, &transmit), WG_ERR_NULL);
  CHECK_CODE(wg_poll_transmit(wg, 0, buffer, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_poll_timeout(wg, NULL, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_poll_event(wg, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_get_status(wg, 0, peer, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_configure(wg, 0, NULL, 1, &config), WG_ERR_NULL);
  CHECK_CODE(wg_configure(wg, 0, "", 0, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_key_from_base64(NULL, KEY), WG_ERR_NULL);
  CHECK_CODE(wg_key_from_base64(key, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_key_to_base64(NULL, key), WG_ERR_NULL);
  CHECK_CODE(wg_key_to_base64(text, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_public_key(NULL, key), WG_ERR_NULL);
  CHECK_CODE(wg_public_key(key, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_parse_address(NULL, "::"), WG_ERR_NULL);
  CHECK_CODE(wg_parse_address(&address, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_config_endpoint(NULL, 1, 0, key, text, sizeof text, &number), WG_ERR_NULL);
  CHECK_CODE(wg_config_endpoint("", 0, 0, NULL, text, sizeof text, &number), WG_ERR_NULL);
  CHECK_CODE(wg_config_endpoint("", 0, 0, key, NULL, sizeof text, &number), WG_ERR_NULL);
  CHECK_CODE(wg_config_endpoint("", 0, 0, key, text, sizeof text, NULL), WG_ERR_NULL);
}

static void keys_and_addresses(void) {
  static const char *const short_keys[] = {"", "a", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk",
                                           KEY "="};
  memset(key, 0x5a, sizeof key);
  for (size_t i = 0; i < sizeof short_keys / sizeof short_keys[0]; i++) {
    CHECK_CODE(wg_key_from_base64(key, short_keys[i]), WG_ERR_KEY_LENGTH);
    CHECK_CODE(wg_set_private_key_base64(wg, 0, short_keys[i]), WG_ERR_KEY_LENGTH);
    CHECK_CODE(wg_add_peer_base64(wg, short_keys[i], &peer), WG_ERR_KEY_LENGTH);
    CHECK_CODE(wg_set_preshared_key_base64(wg, peer, short_keys[i]), WG_ERR_KEY_LENGTH);
  }
  CHECK_CODE(wg_key_from_base64(key, "*Anz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="),
             WG_ERR_KEY_BASE64);
  CHECK_CODE(wg_key_from_base64(key, "\xff\xfe"), WG_ERR_TEXT);
  CHECK(key[0] == 0x5a && key[31] == 0x5a);
  CHECK_CODE(wg_set_private_key_base64(wg, 0, ZERO), WG_ERR_KEY_ZERO);
  OK(wg_key_from_base64(key, ZERO));
  CHECK_CODE(wg_set_private_key(wg, 0, key), WG_ERR_KEY_ZERO);
  uint8_t public_key[WG_KEY_LEN];
  CHECK_CODE(wg_public_key(public_key, key), WG_ERR_KEY_ZERO);
  OK(wg_set_private_key_base64(wg, 0, KEY));
  OK(wg_own_public_key(wg, public_key));
  wg_peer other = 77;
  CHECK_CODE(wg_add_peer(wg, public_key, &other), WG_ERR_OWN_KEY);
  memset(key, 9, sizeof key);
  OK(wg_add_peer(wg, key, &other));
  memset(key, 8, sizeof key);
  CHECK_CODE(wg_add_peer(wg, key, &other), WG_ERR_PEERS_FULL);
  CHECK_CODE(wg_find_peer(wg, key, &other), WG_NONE);
  OK(wg_remove_peer(wg, other));
  CHECK_CODE(wg_remove_peer(wg, other), WG_ERR_NO_PEER);
  wg_peer strangers[] = {other, WG_NO_PEER, 99, (uint64_t)1 << 63};
  for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
    CHECK_CODE(wg_set_keepalive(wg, 0, strangers[i], 25), WG_ERR_NO_PEER);
    CHECK_CODE(wg_set_preshared_key(wg, strangers[i], NULL), WG_ERR_NO_PEER);
    CHECK_CODE(wg_add_allowed_ip_text(wg, strangers[i], "::/0"), WG_ERR_NO_PEER);
    CHECK_CODE(wg_remove_allowed_ips(wg, strangers[i]), WG_ERR_NO_PEER);
    CHECK_CODE(wg_connect(wg, 0, strangers[i]), WG_ERR_NO_PEER);
    CHECK_CODE(wg_get_status(wg, 0, strangers[i], &status), WG_ERR_NO_PEER);
  }

  static const char *const no_addresses[] = {"", "10.0.0", "10.0.0.256", "a.example", "fd00::g", " ::"};
  for (size_t i = 0; i < sizeof no_addresses / sizeof no_addresses[0]; i++) {
    CHECK_CODE(wg_parse_address(&address, no_addresses[i]), WG_ERR_ADDRESS);
    CHECK_CODE(wg_add_allowed_ip_text(wg, peer, no_addresses[i]), WG_ERR_ADDRESS);
  }
  CHECK_CODE(wg_add_allowed_ip_text(wg, peer, "10.0.0.0/33"), WG_ERR_ADDRESS);
  OK(wg_parse_address(&address, "10.0.0.1"));
  CHECK_CODE(wg_add_allowed_ip(wg, peer, &address, 33), WG_ERR_ADDRESS);
  address.family = 5;
  CHECK_CODE(wg_add_allowed_ip(wg, peer, &address, 32), WG_ERR_ADDRESS);
  place = endpoint("0.0.0.0", 5);
  CHECK_CODE(wg_set_endpoint(wg, 0, peer, &place), WG_ERR_ENDPOINT);
  place = endpoint("2001:db8::1", 0);
  CHECK_CODE(wg_set_endpoint(wg, 0, peer, &place), WG_ERR_ENDPOINT);
  CHECK_CODE(wg_handle_datagram(wg, 0, &place, NULL, buffer, 4, &received), WG_ERR_ENDPOINT);
  OK(wg_add_allowed_ip_text(wg, peer, "10.0.0.0/8"));
  OK(wg_add_allowed_ip_text(wg, peer, "fd00::/8"));
  OK(wg_add_allowed_ip_text(wg, peer, "192.168.0.1"));
  /* Twice as many fit at most, where their prefixes are alike. */
  int result = WG_OK;
  for (unsigned i = 2; i < 9 && result == WG_OK; i++) {
    (void)snprintf(text, sizeof text, "192.168.0.%u", i);
    result = wg_add_allowed_ip_text(wg, peer, text);
  }
  CHECK_CODE(result, WG_ERR_ROUTES_FULL);
}

static void packets(void) {
  place = endpoint("192.0.2.1", 51820);
  for (size_t length = 0; length < sizeof buffer; length++) {
    memset(buffer, 4, sizeof buffer);
    int result = wg_handle_datagram(wg, 0, &place, NULL, length == 0 ? NULL : buffer, length, &received);
    CHECK(result == WG_REFUSED_MALFORMED || result == WG_REFUSED_UNKNOWN_INDEX);
  }
  OK(wg_set_endpoint(wg, 0, peer, &place));
  ipv4(buffer + WG_HEADROOM, 40, 1, 2, 0);
  for (size_t size = 0; size < 48 + 32; size++) {
    CHECK_CODE(wg_seal(wg, 0, buffer, size, 40, &transmit), WG_ERR_BUFFER);
  }
  CHECK_CODE(wg_seal(wg, 0, buffer, sizeof buffer, SIZE_MAX, &transmit), WG_ERR_BUFFER);
  CHECK_CODE(wg_seal(wg, 0, buffer, sizeof buffer, 0, &transmit), WG_REFUSED_MALFORMED_INNER);
  CHECK_CODE(wg_seal(wg, 0, buffer, sizeof buffer, 40, &transmit), WG_ERR_NO_SESSION);

  /* The tunnel's own initiation, routed into the tunnel. */
  uint8_t own[WG_TRANSMIT_LEN];
  OK(wg_poll_transmit(wg, 0, own, &transmit));
  CHECK(transmit.length == WG_TRANSMIT_LEN);
  OK(wg_remove_allowed_ips(wg, peer));
  OK(wg_add_allowed_ip_text(wg, peer, "0.0.0.0/0"));
  ipv4(buffer + WG_HEADROOM, 28 + WG_TRANSMIT_LEN, 1, 2, 0);
  uint8_t *packet = buffer + WG_HEADROOM;
  packet[9] = 17;
  memcpy(packet + 16, place.address.bytes, 4);
  packet[22] = 51820 >> 8;
  packet[23] = 51820 & 0xff;
  memcpy(packet + 28, own, sizeof own);
  CHECK_CODE(wg_seal(wg, 0, buffer, sizeof buffer, 28 + WG_TRANSMIT_LEN, &transmit),
             WG_ERR_ROUTING_LOOP);
  CHECK(wg_count(wg, WG_NO_PEER, WG_ERR_ROUTING_LOOP) == 1);
}

static void texts(void) {
  static const char good[] = "[Interface]\nPrivateKey = " KEY "\nAddress = 10.0.0.2/24, fd00::2/64\n"
                             "DNS = 10.0.0.1\nMTU = 1300\nListenPort = 5\n[Peer]\nPublicKey = " PUBLIC
                             "\nAllowedIPs = 10.0.0.0/8, ::/0\nEndpoint = vpn.example.org:51820\n"
                             "PersistentKeepalive = 25\n";
  OK(wg_configure(wg, 0, good, sizeof good - 1, &config));
  CHECK(config.addresses[0].family == 4 && config.prefix_lens[0] == 24);
  CHECK(config.addresses[1].family == 6 && config.prefix_lens[1] == 64);
  CHECK(config.addresses[2].family == 0 && config.dns_servers[0].family == 4);
  CHECK(config.mtu == 1300 && config.listen_port == 5 && config.line == 0);
  OK(wg_config_endpoint(good, sizeof good - 1, 0, key, text, sizeof text, &number));
  CHECK(strcmp(text, "vpn.example.org") == 0 && number == 51820);
  CHECK_CODE(wg_config_endpoint(good, sizeof good - 1, 0, key, text, 15, &number), WG_ERR_BUFFER);
  OK(wg_config_endpoint(good, sizeof good - 1, 0, key, text, 16, &number));
  CHECK_CODE(wg_config_endpoint(good, sizeof good - 1, 1, key, text, sizeof text, &number), WG_NONE);
  OK(wg_find_peer(wg, key, &peer));
  OK(wg_get_status(wg, 0, peer, &status));
  CHECK(status.keepalive == 25 && status.endpoint.port == 51820); /* where it was */

  static const char bad[] = "[Interface]\nPrivateKey = " KEY "\n[Peer]\nPublicKey = short\n";
  CHECK_CODE(wg_configure(wg, 0, bad, sizeof bad - 1, &config), WG_ERR_CONFIG);
  CHECK(config.line == 4 && config.column == 13 && strstr(config.sentence, "44 characters") != NULL);
  CHECK_CODE(wg_config_endpoint(bad, sizeof bad - 1, 0, key, text, sizeof text, &number), WG_ERR_CONFIG);
  CHECK_CODE(wg_configure(wg, 0, "\xff", 1, &config), WG_ERR_TEXT);
  CHECK(strstr(config.sentence, "UTF-8") != NULL);
  OK(wg_read_config(good, sizeof good - 1, &config));
  CHECK(config.mtu == 1300 && config.sentence[0] == 0);
  CHECK_CODE(wg_read_config(bad, sizeof bad - 1, &config), WG_ERR_CONFIG);
  CHECK(config.line == 4);
  CHECK_CODE(wg_read_config("", 0, NULL), WG_ERR_NULL);
  CHECK_CODE(wg_read_config(NULL, 5, &config), WG_ERR_NULL);
  static const char routes[] = "[Interface]\n[Peer]\nPublicKey = " PUBLIC
                               "\nAllowedIPs = 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4\n";
  CHECK_CODE(wg_configure(wg, 0, routes, sizeof routes - 1, &config), WG_ERR_ROUTES_FULL);
  static const char peers[] = "[Interface]\n[Peer]\nPublicKey = " PUBLIC "\n[Peer]\nPublicKey = " KEY
                              "\n[Peer]\nPublicKey = " ZERO "\n";
  CHECK_CODE(wg_configure(wg, 0, peers, sizeof peers - 1, &config), WG_ERR_PEERS_FULL);
  OK(wg_own_public_key(wg, key));
  OK(wg_key_to_base64(text, key));
  char own[sizeof text + 64];
  (void)snprintf(own, sizeof own, "[Interface]\n[Peer]\nPublicKey = %s\n", text);
  CHECK_CODE(wg_configure(wg, 0, own, strlen(own), &config), WG_ERR_OWN_KEY);
  OK(wg_get_status(wg, 0, peer, &status));
  CHECK(status.keepalive == 25); /* nothing was changed by any of them */

  /* Another peer takes the place of the first, and the key stays. */
  static const char other[] = "[Interface]\n[Peer]\nPublicKey = " KEY "\nEndpoint = [2001:db8::1]:7\n";
  OK(wg_configure(wg, 0, other, sizeof other - 1, &config));
  CHECK_CODE(wg_get_status(wg, 0, peer, &status), WG_ERR_NO_PEER);
  peer = WG_NO_PEER;
  OK(wg_next_peer(wg, &peer));
  OK(wg_get_status(wg, 0, peer, &status));
  CHECK(status.endpoint.address.family == 6 && status.endpoint.port == 7 && config.mtu == 0);
  OK(wg_set_private_key(wg, 0, NULL));
  CHECK_CODE(wg_configure(wg, 0, other, sizeof other - 1, &config), WG_ERR_NO_PRIVATE_KEY);
}

/* No randomness: no key and no handshake, but an error and a deadline to ask again. */
static void randomness(void) {
  struct wg_port port = board_port(&board);
  board.random_fails = true;
  board.random_calls = 0;
  OK(wg_init(&wg, &storage, sizeof storage, 2, 3, &port));
  CHECK(board.random_calls == 1);
  CHECK_CODE(wg_generate_private_key(wg, key), WG_ERR_RANDOM);
  CHECK_CODE(wg_reseed(wg), WG_ERR_RANDOM);
  OK(wg_set_private_key_base64(wg, 0, KEY));
  OK(wg_add_peer_base64(wg, PUBLIC, &peer));
  OK(wg_set_endpoint(wg, 0, peer, &place));
  OK(wg_set_keepalive(wg, 0, peer, 25));
}

int main(void) {
  null_everywhere();
  keys_and_addresses();
  packets();
  texts();
  OK(wg_wipe(wg));
  CHECK_CODE(wg_down(wg), WG_ERR_NOT_INITIALIZED);
  randomness();
  int reason;
  uint64_t now = 1000;
  CHECK_CODE(wg_poll_transmit(wg, now, buffer, &transmit), WG_ERR_RANDOM);
  CHECK_CODE(wg_handle_datagram(wg, now, &place, NULL, buffer, 148, &received), WG_ERR_RANDOM);
  OK(wg_get_status(wg, now, peer, &status));
  CHECK(status.connection == WG_ERR_RANDOM);
  OK(wg_poll_timeout(wg, &at, &reason));
  CHECK(reason == WG_REASON_RANDOM && at == now + 5000000);
  unsigned calls = board.random_calls;
  CHECK_CODE(wg_poll_transmit(wg, at - 1, buffer, &transmit), WG_ERR_RANDOM);
  CHECK(board.random_calls == calls); /* not more often than that */
  board.random_fails = false;
  board.calls_back = wg; /* and a callback cannot call its engine */
  OK(wg_handle_timeout(wg, at));
  OK(wg_poll_transmit(wg, at, buffer, &transmit));
  CHECK(transmit.length == WG_TRANSMIT_LEN && board.random_calls == calls + 1);
  board.random_fails = true;
  CHECK_CODE(wg_reseed(wg), WG_ERR_RANDOM);
  board.random_fails = false;
  OK(wg_reseed(wg));
  OK(wg_generate_private_key(wg, key));
  OK(wg_wipe(wg));
  CHECK(strcmp(wg_name(WG_ERR_RANDOM), "WG_ERR_RANDOM") == 0);
  CHECK(strstr(wg_strerror(WG_REFUSED_UNANSWERED), "unanswered") != NULL);
  CHECK(wg_name(12345) != NULL && wg_strerror(-12345) != NULL && strlen(wg_version()) >= 5);
  return 0;
}
