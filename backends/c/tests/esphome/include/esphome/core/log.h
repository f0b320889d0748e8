/* Stand-in for ESPHome's: nothing is printed, but formats are checked. */
#pragma once
inline void stand_in_print(const char *, const char *, ...) __attribute__((format(printf, 2, 3)));
inline void stand_in_print(const char *, const char *, ...) {}
#undef ESP_LOGE
#undef ESP_LOGI
#define ESP_LOGE(tag, ...) stand_in_print(tag, __VA_ARGS__)
#define ESP_LOGW(tag, ...) stand_in_print(tag, __VA_ARGS__)
#define ESP_LOGI(tag, ...) stand_in_print(tag, __VA_ARGS__)
#define ESP_LOGD(tag, ...) stand_in_print(tag, __VA_ARGS__)
#define ESP_LOGV(tag, ...) stand_in_print(tag, __VA_ARGS__)
#define ESP_LOGCONFIG(tag, ...) stand_in_print(tag, __VA_ARGS__)
#define LOG_SECRET(text) text
#define LOG_STR_LITERAL(text) text
#define LOG_UPDATE_INTERVAL(component) (void)(component)
