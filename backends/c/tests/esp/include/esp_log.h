/* Stand-in for ESP-IDF's: lines are kept for the test. */
#ifndef STAND_IN_ESP_LOG_H
#define STAND_IN_ESP_LOG_H
#ifdef __cplusplus
extern "C" {
#endif
void stand_in_log(char level, const char *tag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __cplusplus
}
#endif
#define ESP_LOGE(tag, ...) stand_in_log('E', tag, __VA_ARGS__)
#define ESP_LOGI(tag, ...) stand_in_log('I', tag, __VA_ARGS__)
#endif
