/* The errors of esp_wireguard.h beside esp_err.h's. */
#ifndef ESP_WIREGUARD_ERR_H
#define ESP_WIREGUARD_ERR_H

#include "esp_err.h"

#ifndef ESP_ERR_WIREGUARD_BASE
#define ESP_ERR_WIREGUARD_BASE 0x8000
#endif
/* The endpoint's name is not resolved yet. Never returned here: the name is resolved beside. */
#define ESP_ERR_RETRY (ESP_ERR_WIREGUARD_BASE + 1)
/* The endpoint's name cannot be resolved. Never returned here: it is asked for again. */
#define ESP_ERR_INVALID_IP (ESP_ERR_WIREGUARD_BASE + 2)

#endif
