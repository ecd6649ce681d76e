/*
 * Makes chosen file calls of a process fail, or turns its syncs into nothing: LD_PRELOADed into the server under test,
 * never part of the product. Rules live in a file of 4096 bytes, named by SWIFTLET_SHIM_CONTROL and mapped shared, so
 * that the test changes them while the server runs (fault-shim.ts writes it):
 *
 *    0 u32 armed     1: the rule holds
 *    4 u32 calls     bits: 1 sync, 2 write, 4 read
 *    8 u32 countdown the rule strikes when it gets from 1 to 0 (the k-th matching call)
 *   12 u32 sticky    1: every later matching call fails too
 *   16 u32 error     errno to fail with; 0: the call returns success without doing anything
 *   20 u32 seen      matching calls so far, written here
 *   24 u32 hits      calls failed so far, written here
 *   28 u32 syncs     all sync calls so far, armed or not, written here
 *   64 char path[]   part of the path of the file; empty: all files
 *
 * Reads and writes on sockets and pipes are left alone: a path must begin with '/'. A pwritev to a file opened with
 * O_DSYNC counts as a write and as a sync: where its sync is struck the bytes are in the page cache only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CALL_SYNC = 1, CALL_WRITE = 2, CALL_READ = 4 };

struct control {
  uint32_t armed, calls, countdown, sticky, error, seen, hits, syncs;
  uint32_t reserved[8];
  char path[1024];
};

static struct control *control;

__attribute__((constructor)) static void map_control(void) {
  const char *path = getenv("SWIFTLET_SHIM_CONTROL");
  if (!path) return;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (map != MAP_FAILED) control = map;
}

static int path_matches(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0 || path[0] != '/') return 0;
  path[length] = 0;
  return control->path[0] == 0 || strstr(path, control->path) != NULL;
}

/* 0: go on; 1: the call is struck (by `errno`, or as a success if that is 0). */
static int struck(int fd, uint32_t call) {
  if (!control) return 0;
  if (call == CALL_SYNC) __atomic_add_fetch(&control->syncs, 1, __ATOMIC_SEQ_CST);
  if (!control->armed || !(control->calls & call)) return 0;
  int saved = errno;
  int match = path_matches(fd);
  errno = saved;
  if (!match) return 0;
  __atomic_add_fetch(&control->seen, 1, __ATOMIC_SEQ_CST);
  uint32_t left = __atomic_load_n(&control->countdown, __ATOMIC_SEQ_CST);
  while (left > 0 && !__atomic_compare_exchange_n(&control->countdown, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
  }
  if (left != 1 && !(left == 0 && control->sticky)) return 0;
  __atomic_add_fetch(&control->hits, 1, __ATOMIC_SEQ_CST);
  errno = (int)control->error;
  return 1;
}

#define NEXT(name, type) \
  static type next; \
  if (!next) next = (type)dlsym(RTLD_NEXT, name)

#define FAIL_OR(success) return errno ? -1 : (success)

static ssize_t vector_bytes(const struct iovec *vector, int count) {
  ssize_t total = 0;
  for (int index = 0; index < count; index++) total += (ssize_t)vector[index].iov_len;
  return total;
}

typedef int (*sync_call)(int);
int fsync(int fd) { NEXT("fsync", sync_call); if (struck(fd, CALL_SYNC)) FAIL_OR(0); return next(fd); }
int fdatasync(int fd) { NEXT("fdatasync", sync_call); if (struck(fd, CALL_SYNC)) FAIL_OR(0); return next(fd); }
int syncfs(int fd) { NEXT("syncfs", sync_call); if (struck(fd, CALL_SYNC)) FAIL_OR(0); return next(fd); }

typedef int (*range_call)(int, off64_t, off64_t, unsigned int);
int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned int flags) {
  NEXT("sync_file_range", range_call);
  if (struck(fd, CALL_SYNC)) FAIL_OR(0);
  return next(fd, offset, bytes, flags);
}

typedef ssize_t (*write_call)(int, const void *, size_t);
ssize_t write(int fd, const void *buffer, size_t count) {
  NEXT("write", write_call);
  if (struck(fd, CALL_WRITE)) FAIL_OR((ssize_t)count);
  return next(fd, buffer, count);
}

typedef ssize_t (*pwrite_call)(int, const void *, size_t, off64_t);
ssize_t pwrite64(int fd, const void *buffer, size_t count, off64_t offset) {
  NEXT("pwrite64", pwrite_call);
  if (struck(fd, CALL_WRITE)) FAIL_OR((ssize_t)count);
  return next(fd, buffer, count, offset);
}
ssize_t pwrite(int fd, const void *buffer, size_t count, off_t offset) { return pwrite64(fd, buffer, count, offset); }

/* LevelDB writes its files through stdio. */
typedef size_t (*fwrite_call)(const void *, size_t, size_t, FILE *);
size_t (fwrite_unlocked)(const void *buffer, size_t size, size_t count, FILE *file) {
  NEXT("fwrite_unlocked", fwrite_call);
  if (struck(fileno(file), CALL_WRITE)) return errno ? 0 : count;
  return next(buffer, size, count, file);
}

typedef int (*fflush_call)(FILE *);
int (fflush_unlocked)(FILE *file) {
  NEXT("fflush_unlocked", fflush_call);
  if (file && struck(fileno(file), CALL_WRITE)) return errno ? EOF : 0;
  return next(file);
}

typedef ssize_t (*writev_call)(int, const struct iovec *, int);
ssize_t writev(int fd, const struct iovec *vector, int count) {
  NEXT("writev", writev_call);
  if (struck(fd, CALL_WRITE)) FAIL_OR(vector_bytes(vector, count));
  return next(fd, vector, count);
}

typedef ssize_t (*pvector_call)(int, const struct iovec *, int, off64_t);
/* The same bytes to the same file, without the flag that would sync them. */
static ssize_t pwritev_unsynced(pvector_call next, int fd, const struct iovec *vector, int count, off64_t offset) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int plain = open(link, O_WRONLY | O_CLOEXEC);
  if (plain < 0) return -1;
  ssize_t written = next(plain, vector, count, offset);
  int saved = errno;
  close(plain);
  errno = saved;
  return written;
}

ssize_t pwritev64(int fd, const struct iovec *vector, int count, off64_t offset) {
  NEXT("pwritev64", pvector_call);
  if (struck(fd, CALL_WRITE)) FAIL_OR(vector_bytes(vector, count));
  if (!control || !(fcntl(fd, F_GETFL) & O_DSYNC) || !struck(fd, CALL_SYNC)) return next(fd, vector, count, offset);
  int failure = errno;
  ssize_t written = pwritev_unsynced(next, fd, vector, count, offset);
  if (written < 0 || failure == 0) return written;
  errno = failure;
  return -1;
}
ssize_t pwritev(int fd, const struct iovec *vector, int count, off_t offset) { return pwritev64(fd, vector, count, offset); }

typedef ssize_t (*pread_call)(int, void *, size_t, off64_t);
ssize_t pread64(int fd, void *buffer, size_t count, off64_t offset) {
  NEXT("pread64", pread_call);
  if (struck(fd, CALL_READ)) FAIL_OR(0);
  return next(fd, buffer, count, offset);
}
ssize_t pread(int fd, void *buffer, size_t count, off_t offset) { return pread64(fd, buffer, count, offset); }

ssize_t preadv64(int fd, const struct iovec *vector, int count, off64_t offset) {
  NEXT("preadv64", pvector_call);
  if (struck(fd, CALL_READ)) FAIL_OR(0);
  return next(fd, vector, count, offset);
}
ssize_t preadv(int fd, const struct iovec *vector, int count, off_t offset) { return preadv64(fd, vector, count, offset); }
