/*
 * A disk that is slow or broken on purpose, put under a program by LD_PRELOAD.
 *
 * The file that FT_FAULTY names is shared with the test, which changes it
 * while the program runs.  A write is held back before it is done: what came
 * later may then be on the disk earlier.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* As in ftlib/faulty.py. */
typedef struct Control {
    int32_t write_ms;           /* hold a write back for so long at most */
    int32_t write_percent;      /* so many of 100 writes */
    int32_t write_errno;        /* instead of writing */
    int32_t read_errno;
    int32_t held;               /* writes held back now; this side's */
    int32_t until_cleared;      /* and until write_ms is 0, not shorter */
    int32_t sync_ms;            /* what fdatasync() takes */
} Control;

enum { STEP_US = 1000 };

static volatile Control *control;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FT_FAULTY");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map;

    if (fd < 0) {
        return;
    }
    map = mmap(NULL, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
               0);
    if (map == MAP_FAILED) {
        perror("ft-faulty");
        _exit(1);
    }
    control = map;
    close(fd);
}

static void hold_back(void)
{
    static __thread unsigned int seed;
    int ms;

    if (!seed) {
        seed = (unsigned int)getpid() ^ (unsigned int)(uintptr_t)&seed;
    }
    if (rand_r(&seed) % 100 >= control->write_percent) {
        return;
    }
    __atomic_add_fetch(&control->held, 1, __ATOMIC_SEQ_CST);
    ms = control->until_cleared ? control->write_ms
        : 1 + rand_r(&seed) % control->write_ms;
    for (int us = 0; us < ms * 1000 && control->write_ms; us += STEP_US) {
        usleep(STEP_US);
    }
    __atomic_sub_fetch(&control->held, 1, __ATOMIC_SEQ_CST);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);

    if (!real) {
        real = dlsym(RTLD_NEXT, "pwrite64");
    }
    if (control && control->write_ms) {
        hold_back();
    }
    if (control && control->write_errno) {
        errno = control->write_errno;
        return -1;
    }
    return real(fd, data, size, offset);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
    static ssize_t (*real)(int, void *, size_t, off64_t);

    if (!real) {
        real = dlsym(RTLD_NEXT, "pread64");
    }
    if (control && control->read_errno) {
        errno = control->read_errno;
        return -1;
    }
    return real(fd, data, size, offset);
}

int fdatasync(int fd)
{
    static int (*real)(int);

    if (!real) {
        real = dlsym(RTLD_NEXT, "fdatasync");
    }
    if (control && control->sync_ms) {
        usleep(control->sync_ms * 1000);
    }
    return real(fd);
}
