/* Stand-in for FreeRTOS: one task, which is notified. */
#ifndef STAND_IN_TASK_H
#define STAND_IN_TASK_H
typedef struct stand_in_task *TaskHandle_t;
int xTaskCreate(void (*body)(void *), const char *name, uint32_t stack, void *argument,
                unsigned priority, TaskHandle_t *task);
uint32_t ulTaskNotifyTake(int clear, uint32_t ticks);
int xTaskNotifyGive(TaskHandle_t task);
#endif
