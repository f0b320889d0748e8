/* The two interfaces that users of the C ports have, between a real lwIP and a gateway. The tunnel's
 * task is a thread; time is this program's. */
#include "esp_wireguard.h"
#include "stand_ins.h"

const char *sketch_private_key, *sketch_public_key, *sketch_endpoint = "vpn.example.org";
bool sketch_short_form;
bool sketch_setup(), sketch_is_initialized(), sketch_is_connected(), sketch_text(const char *);
bool sketch_preshared(const char *);
const char *sketch_status();
void sketch_end();

static wireguard_config_t settings = ESP_WIREGUARD_CONFIG_DEFAULT();
static wireguard_ctx_t ctx = ESP_WIREGUARD_CONTEXT_DEFAULT();
static time_t seen;

#define ESP(call, code) CHECK_CODE(call, code)

static void works(const char *to) {
  unsigned before = answers;
  ask_inside(to);
  run(3000);
  CHECK(answers == before + 1);
}

static void calls_without_a_tunnel() {
  ESP(esp_wireguard_init(NULL, &ctx), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_init(&settings, NULL), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_connect(NULL), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_connect(&ctx), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_disconnect(NULL), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_disconnect(&ctx), ESP_OK);
  ESP(esp_wireguard_set_default(NULL), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_set_default(&ctx), ESP_ERR_INVALID_STATE);
  ESP(esp_wireguard_restore_default(NULL), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_restore_default(&ctx), ESP_ERR_INVALID_STATE);
  ESP(esp_wireguard_peer_is_up(NULL), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_peer_is_up(&ctx), ESP_FAIL);
  ESP(esp_wireguardif_peer_is_up(&ctx), ESP_FAIL);
  ESP(esp_wireguard_latest_handshake(NULL, &seen), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_latest_handshake(&ctx, NULL), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_latest_handshake(&ctx, &seen), ESP_ERR_INVALID_STATE);
  ESP(esp_wireguard_add_allowed_ip(NULL, "10.0.0.0", "255.0.0.0"), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_add_allowed_ip(&ctx, NULL, "255.0.0.0"), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_add_allowed_ip(&ctx, "10.0.0.0", "255.0.0.0"), ESP_ERR_INVALID_STATE);
  ESP(esp_wireguard_connect_text(NULL, "", 0), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_connect_text(&ctx, NULL, 0), ESP_ERR_INVALID_ARG);
  CHECK(strstr(esp_wireguard_why(&ctx), "esp_wireguard_connect") != NULL);
  CHECK(esp_wireguard_why(NULL) != NULL);

  /* Memory that was never a context. */
  wireguard_ctx_t never;
  memset(&never, 0xa5, sizeof never);
  ESP(esp_wireguard_disconnect(&never), ESP_OK);
  ESP(esp_wireguard_set_default(&never), ESP_ERR_INVALID_STATE);
  ESP(esp_wireguard_restore_default(&never), ESP_ERR_INVALID_STATE);
  ESP(esp_wireguard_peer_is_up(&never), ESP_FAIL);
  ESP(esp_wireguard_latest_handshake(&never, &seen), ESP_ERR_INVALID_STATE);
  ESP(esp_wireguard_add_allowed_ip(&never, "10.0.0.0", "255.0.0.0"), ESP_ERR_INVALID_STATE);
  CHECK(strstr(esp_wireguard_why(&never), "esp_wireguard_connect") != NULL);
  memset(&never, 0xa5, sizeof never);
  ESP(esp_wireguard_init(&settings, &never), ESP_OK);
  CHECK(never.config == &settings && never.netif == NULL);
}

/* Each setting that is wrong is refused, and the log says which. */
static void wrong_settings() {
  struct {
    const char *setting, **place;
    const char *values[6];
  } wrong[] = {
      {"private_key", &settings.private_key, {NULL, "", "abc", "*Anz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="}},
      {"public_key", &settings.public_key, {NULL, "", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg"}},
      {"preshared_key", &settings.preshared_key, {"short"}},
      {"address", &settings.address, {NULL, "", "10.0.0", "vpn.example.org", "10.0.0.2/24"}},
      {"netmask", &settings.netmask, {"255.0.255.0", "mask", "ffff::"}},
      {"endpoint", &settings.endpoint, {NULL, "", "two words"}},
  };
  for (auto &one : wrong) {
    const char *good = *one.place;
    for (const char *value : one.values) {
      if (value == NULL && one.values[0] != NULL) {
        break;
      }
      *one.place = value;
      ESP(esp_wireguard_init(&settings, &ctx), ESP_ERR_INVALID_ARG);
      CHECK(strncmp(last_error, one.setting, strlen(one.setting)) == 0);
    }
    *one.place = good;
  }
  settings.port = 0;
  ESP(esp_wireguard_init(&settings, &ctx), ESP_ERR_INVALID_ARG);
  settings.port = 51820;
  CHECK(ctx.netif == NULL);
}

static void as_esphome_calls_it() {
  ESP(esp_wireguard_init(&settings, &ctx), ESP_OK);
  ESP(esp_wireguard_connect(&ctx), ESP_OK); /* with the core locked, as `begin` left it */
  CHECK(ctx.netif != NULL && ctx.netif_default == &wifi && ctx.netif->mtu == 1420);
  unlock();
  ESP(esp_wireguard_add_allowed_ip(&ctx, "0.0.0.0", "0.0.0.0"), ESP_OK);
  ESP(esp_wireguard_add_allowed_ip(&ctx, "10.1.0.0", "255.0.255.0"), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_add_allowed_ip(&ctx, "no address", "255.0.0.0"), ESP_ERR_INVALID_ARG);
  ESP(esp_wireguard_latest_handshake(&ctx, &seen), ESP_FAIL);
  ESP(esp_wireguard_peer_is_up(&ctx), ESP_FAIL);
  lock();
  run(15000); /* the session comes with nothing to send */
  unlock();
  ESP(esp_wireguard_peer_is_up(&ctx), ESP_OK);
  ESP(esp_wireguard_latest_handshake(&ctx, &seen), ESP_OK);
  CHECK(time(NULL) - seen < 60 && seen <= time(NULL));
  CHECK(strcmp(esp_wireguard_why(&ctx), "connected") == 0);
  lock();
  works("10.0.0.1");
  ESP(esp_wireguard_connect(&ctx), ESP_OK); /* twice */
  ESP(esp_wireguard_set_default(&ctx), ESP_OK);
  works("203.0.113.5");
  ESP(esp_wireguard_restore_default(&ctx), ESP_OK);
  CHECK(netif_default == &wifi);
  run(1800000); /* stays up without a keepalive and without traffic */
  ESP(esp_wireguard_peer_is_up(&ctx), ESP_OK);
  gateway.is_silent = true;
  run(400000);
  ESP(esp_wireguard_peer_is_up(&ctx), ESP_FAIL);
  CHECK(strstr(esp_wireguard_why(&ctx), "unanswered") != NULL);
  gateway.is_silent = false;
  run(20000); /* and comes back by itself */
  ESP(esp_wireguard_peer_is_up(&ctx), ESP_OK);
  wifi_off();
  run(60000);
  wifi_on(true);
  works("10.0.0.1");
  ESP(esp_wireguard_disconnect(&ctx), ESP_OK);
  ESP(esp_wireguard_disconnect(&ctx), ESP_OK);
  CHECK(ctx.netif == NULL);
  for (int i = 0; i < 50; i++) {
    ESP(esp_wireguard_connect(&ctx), ESP_OK);
    if (i % 2 == 0) {
      ESP(esp_wireguard_set_default(&ctx), ESP_OK);
      run(25);
    }
    ESP(esp_wireguard_disconnect(&ctx), ESP_OK);
    CHECK(netif_default == &wifi);
  }
  nvs_fails = true; /* a reason, and no handshake with a timestamp that may not rise */
  run(1000);
  ESP(esp_wireguard_connect(&ctx), ESP_OK);
  unsigned initiations = gateway.initiations;
  run(20000);
  CHECK(gateway.initiations == initiations && strstr(esp_wireguard_why(&ctx), "lasting memory") != NULL);
  nvs_fails = false;
  run(20000);
  ESP(esp_wireguard_peer_is_up(&ctx), ESP_OK);

  wireguard_ctx_t second = ESP_WIREGUARD_CONTEXT_DEFAULT();
  ESP(esp_wireguard_init(&settings, &second), ESP_OK);
  ESP(esp_wireguard_connect(&second), ESP_ERR_NO_MEM);
  ESP(esp_wireguard_init(&settings, &ctx), ESP_OK); /* begins anew */
  CHECK(ctx.netif == NULL);
}

static void a_text() {
  char text[512];
  (void)snprintf(text, sizeof text,
                 "[Interface]\nPrivateKey = %s\nAddress = 10.0.0.2/24, fd00::2/64\n[Peer]\n"
                 "PublicKey = %s\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = vpn.example.org:51820\n",
                 settings.private_key, settings.public_key);
  ESP(esp_wireguard_connect_text(&ctx, text, strlen(text)), ESP_OK);
  ESP(esp_wireguard_connect_text(&ctx, text, strlen(text)), ESP_OK);
  works("10.0.0.1");
  works("fd00::1");
  ESP(esp_wireguard_connect_text(&ctx, "[Interface]\nMTU = 1\n", 20), ESP_ERR_INVALID_ARG);
  CHECK(strncmp(last_error, "line 2, column 7", 16) == 0);
  ESP(esp_wireguard_disconnect(&ctx), ESP_OK);
  char wrong[512];
  (void)snprintf(wrong, sizeof wrong, "%s", text);
  (void)snprintf(strstr(wrong, "51820"), 8, "65536\n");
  ESP(esp_wireguard_connect_text(&ctx, wrong, strlen(wrong)), ESP_ERR_INVALID_ARG);
  CHECK(strncmp(last_error, "line 7, column", 14) == 0 && ctx.netif == NULL);
  CHECK(sketch_text(text) && sketch_is_initialized());
  works("10.0.0.1");
  CHECK(!sketch_text("nonsense") && !sketch_text(NULL) && !sketch_is_initialized());
}

static void the_sketch() {
  sketch_private_key = "short";
  sketch_public_key = settings.public_key;
  CHECK(!sketch_is_initialized() && !sketch_setup() && !sketch_is_initialized());
  CHECK(strncmp(last_error, "private_key", 11) == 0);
  sketch_private_key = NULL;
  CHECK(!sketch_setup());
  sketch_private_key = settings.private_key;
  for (int i = 0; i < 3; i++) {
    sketch_short_form = i == 1;
    CHECK(sketch_setup() && sketch_is_initialized() && netif_default != &wifi);
    works("203.0.113.5"); /* everything goes through the tunnel */
    CHECK(sketch_is_connected() && strcmp(sketch_status(), "connected") == 0);
  }
  CHECK(sketch_setup()); /* begun twice */
  run(1000);
  CHECK(!sketch_preshared("short"));
  sketch_end();
  sketch_end();
  CHECK(!sketch_is_initialized() && netif_default == &wifi);
  CHECK(sketch_preshared("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=") && sketch_setup());
  run(30000);
  CHECK(!sketch_is_connected()); /* the gateway has no such key */
  CHECK(sketch_preshared(NULL));
  sketch_end();
}

int main() {
  begin();
  settings.private_key = boards_key_text();
  settings.public_key = gateways_key_text();
  settings.address = "10.0.0.2";
  settings.netmask = "255.255.255.0";
  settings.endpoint = "vpn.example.org";
  calls_without_a_tunnel();
  wrong_settings();
  as_esphome_calls_it();
  a_text();
  the_sketch();
  printf("test result: ok. 5 passed\n");
  end();
  return 0;
}
