/* Notes which files were flushed and how long they were then: for imitating a power cut, which loses what was not.
   Preloaded into a daemon; appends "INODE SIZE" lines to the file that ATTUNE_FLUSH_LOG names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(int file)
{
    const char *path = getenv("ATTUNE_FLUSH_LOG");
    struct stat about;
    char line[64];
    if (path == NULL || fstat(file, &about) != 0)
        return;
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        return;
    int length = snprintf(line, sizeof line, "%llu %lld\n", (unsigned long long)about.st_ino, (long long)about.st_size);
    if (write(log, line, (size_t)length) != length)
        abort();
    close(log);
}

static int flush(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int status = real(file);
    if (status == 0)
        note(file);
    return status;
}

int fsync(int file)
{
    return flush("fsync", file);
}

int fdatasync(int file)
{
    return flush("fdatasync", file);
}

/* A child is started with an environment of its own: it is to be noted, too. */
int execve(const char *path, char *const arguments[], char *const variables[])
{
    static const char *const passed[] = {"LD_PRELOAD", "ATTUNE_FLUSH_LOG"};
    int (*real)(const char *, char *const[], char *const[]) =
        (int (*)(const char *, char *const[], char *const[]))dlsym(RTLD_NEXT, "execve");
    int count = 0;
    while (variables[count] != NULL)
        count++;
    char **more = calloc((size_t)count + 3, sizeof *more);
    if (more == NULL)
        abort();
    for (int index = 0; index < count; index++)
        more[index] = variables[index];
    for (int index = 0; index < 2; index++) {
        const char *value = getenv(passed[index]);
        if (value != NULL && asprintf(&more[count], "%s=%s", passed[index], value) >= 0)
            count++;
    }
    return real(path, arguments, more);
}
