/*
 * Loaded into the server under test (LD_PRELOAD), to make its disk and its clock misbehave without asking for any privilege.
 *
 * What goes wrong is in a file that both sides map: eight-byte numbers, written by the test at any time.
 * Only files below FAULT_DIRECTORY are touched, and none while every number is zero.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct control {
  volatile int64_t write_errno;    /* what writing, cutting and syncing fail with */
  volatile int64_t sync_delay_us;  /* how long each sync takes more than it does */
  volatile int64_t clock_offset_s; /* how far the wall clock is off */
  volatile int64_t tear_after;     /* the write at which half is written and the process dies; 1 is the next */
  volatile int64_t faults;         /* counted here: how often something was made to go wrong */
};

static struct control nothing;
static struct control *control = &nothing;
static char directory[PATH_MAX];
static size_t directory_length;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULT_CONTROL");
  const char *below = getenv("FAULT_DIRECTORY");
  if (path == NULL || below == NULL) return;
  directory_length = strlen(below);
  if (directory_length >= sizeof directory) return;
  memcpy(directory, below, directory_length + 1);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) control = mapped;
}

/* Whether an open file lies below the directory. */
static int is_ours(int fd) {
  char link[64];
  char path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path);
  return length > (ssize_t)directory_length && memcmp(path, directory, directory_length) == 0 &&
         path[directory_length] == '/';
}

/* The error that a change of this file is to fail with, or 0. */
static int failure(int fd) {
  int64_t number = control->write_errno;
  if (number == 0 || !is_ours(fd)) return 0;
  __atomic_add_fetch(&control->faults, 1, __ATOMIC_SEQ_CST);
  return (int)number;
}

/* Whether this very write is to be torn. */
static int tears(int fd) {
  if (control->tear_after == 0 || !is_ours(fd)) return 0;
  if (__atomic_sub_fetch(&control->tear_after, 1, __ATOMIC_SEQ_CST) != 0) return 0;
  __atomic_add_fetch(&control->faults, 1, __ATOMIC_SEQ_CST);
  return 1;
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}

#define FAIL_IF_TOLD(fd)             \
  do {                               \
    int number = failure(fd);        \
    if (number != 0) {               \
      errno = number;                \
      return -1;                     \
    }                                \
  } while (0)

ssize_t write(int fd, const void *bytes, size_t length) {
  static __typeof__(&write) next;
  if (next == NULL) next = REAL(write);
  FAIL_IF_TOLD(fd);
  if (tears(fd)) {
    next(fd, bytes, length / 2);
    kill(getpid(), SIGKILL);
  }
  return next(fd, bytes, length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  static __typeof__(&pwrite64) next;
  if (next == NULL) next = REAL(pwrite64);
  FAIL_IF_TOLD(fd);
  if (tears(fd)) {
    next(fd, bytes, length / 2, offset);
    kill(getpid(), SIGKILL);
  }
  return next(fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  return pwrite64(fd, bytes, length, offset);
}

int ftruncate64(int fd, off64_t length) {
  static __typeof__(&ftruncate64) next;
  if (next == NULL) next = REAL(ftruncate64);
  FAIL_IF_TOLD(fd);
  return next(fd, length);
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

/* Waits as a slow disk does, then says whether syncing is to fail. */
static int slowly(int fd) {
  int64_t delay = control->sync_delay_us;
  if (delay > 0 && is_ours(fd)) {
    struct timespec pause = {.tv_sec = delay / 1000000, .tv_nsec = delay % 1000000 * 1000};
    nanosleep(&pause, NULL);
    __atomic_add_fetch(&control->faults, 1, __ATOMIC_SEQ_CST);
  }
  return failure(fd);
}

int fsync(int fd) {
  static __typeof__(&fsync) next;
  if (next == NULL) next = REAL(fsync);
  int number = slowly(fd);
  if (number != 0) {
    errno = number;
    return -1;
  }
  return next(fd);
}

int fdatasync(int fd) {
  static __typeof__(&fdatasync) next;
  if (next == NULL) next = REAL(fdatasync);
  int number = slowly(fd);
  if (number != 0) {
    errno = number;
    return -1;
  }
  return next(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static __typeof__(&clock_gettime) next;
  if (next == NULL) next = REAL(clock_gettime);
  int result = next(clock, now);
  if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += control->clock_offset_s;
  return result;
}
