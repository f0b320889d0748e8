#include "host.h"

#include <string.h>

/* The part of nvs.h that src/nvs.rs calls, with its rules: names of 1 to 15 bytes, a namespace that
 * is made when it is first opened for writing, and values of the length that they were set with. */

enum { NOT_FOUND = 0x1102, READ_ONLY = 0x1104, NOT_ENOUGH_SPACE = 0x1105, INVALID_NAME = 0x1106,
       INVALID_HANDLE = 0x1107, INVALID_LENGTH = 0x110c };

static struct record {
  char namespace[16], key[16];
  uint8_t value[64];
  size_t length;
} records[4];
static size_t record_count;

/* An open namespace; its number less one is its place here. */
static struct {
  char namespace[16];
  bool is_open, may_write;
} handles[4];
static int32_t open_error, set_error;

void nvs_fail(int32_t open, int32_t set) {
  open_error = open;
  set_error = set;
}

void nvs_erase(void) { record_count = 0; }

void nvs_damage(const char *key) {
  for (size_t i = 0; i < record_count; i++) {
    if (strcmp(records[i].key, key) == 0) {
      records[i].length--;
    }
  }
}

int nvs_open_handles(void) {
  int count = 0;
  for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
    count += handles[i].is_open;
  }
  return count;
}

static bool is_name(const char *name) { return *name != 0 && strnlen(name, 16) < 16; }

int32_t nvs_open(const char *namespace, int32_t mode, uint32_t *handle) {
  if (open_error != 0) {
    return open_error;
  }
  if (!is_name(namespace)) {
    return INVALID_NAME;
  }
  bool is_known = mode != 0;
  for (size_t i = 0; i < record_count; i++) {
    is_known |= strcmp(records[i].namespace, namespace) == 0;
  }
  for (size_t i = 0; is_known && i < sizeof handles / sizeof handles[0]; i++) {
    if (!handles[i].is_open) {
      strcpy(handles[i].namespace, namespace);
      handles[i].is_open = true;
      handles[i].may_write = mode != 0;
      *handle = (uint32_t)i + 1;
      return 0;
    }
  }
  return NOT_FOUND;
}

void nvs_close(uint32_t handle) { handles[handle - 1].is_open = false; }

static struct record *find(uint32_t handle, const char *key) {
  for (size_t i = 0; i < record_count; i++) {
    if (strcmp(records[i].namespace, handles[handle - 1].namespace) == 0 &&
        strcmp(records[i].key, key) == 0) {
      return &records[i];
    }
  }
  return NULL;
}

int32_t nvs_get_blob(uint32_t handle, const char *key, void *value, size_t *length) {
  if (!handles[handle - 1].is_open) {
    return INVALID_HANDLE;
  }
  struct record *record = find(handle, key);
  if (record == NULL) {
    return NOT_FOUND;
  }
  size_t room = *length;
  *length = record->length;
  if (room < record->length) {
    return INVALID_LENGTH;
  }
  memcpy(value, record->value, record->length);
  return 0;
}

int32_t nvs_set_blob(uint32_t handle, const char *key, const void *value, size_t length) {
  if (!handles[handle - 1].is_open) {
    return INVALID_HANDLE;
  }
  if (!handles[handle - 1].may_write) {
    return READ_ONLY;
  }
  if (set_error != 0) {
    return set_error;
  }
  struct record *record = find(handle, key);
  if (record == NULL) {
    if (!is_name(key)) {
      return INVALID_NAME;
    }
    if (record_count == sizeof records / sizeof records[0]) {
      return NOT_ENOUGH_SPACE;
    }
    record = &records[record_count++];
    strcpy(record->namespace, handles[handle - 1].namespace);
    strcpy(record->key, key);
  }
  if (length > sizeof record->value) {
    return NOT_ENOUGH_SPACE;
  }
  memcpy(record->value, value, length);
  record->length = length;
  return 0;
}

int32_t nvs_commit(uint32_t handle) { return handles[handle - 1].is_open ? 0 : INVALID_HANDLE; }
