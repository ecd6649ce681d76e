/*
 * Cuts the power of one file system: FS_IOC_SHUTDOWN without a log flush. What was not synced is gone after the next
 * mount; every write from now on fails with EIO. For ext4 and XFS; needs root.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FS_IOC_SHUTDOWN 0x8004587dUL
#define FLAG_NO_LOG_FLUSH 2

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: fs-shutdown MOUNTPOINT\n");
    return 2;
  }
  int fd = open(arguments[1], O_RDONLY);
  uint32_t flag = FLAG_NO_LOG_FLUSH;
  if (fd < 0 || ioctl(fd, FS_IOC_SHUTDOWN, &flag) != 0) {
    perror(arguments[1]);
    return 1;
  }
  return 0;
}
