/* The shared library loaded by dlopen: after rnnpack_message has been called once on a thread, calls of the thread that fail
 * make no system call; and after dlclose nothing of the library is left that a fork would call. The argument is the library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <rnnpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static rnnpack_status (*scratch_new)(rnnpack_scratch **);
static rnnpack_status (*scratch_free)(rnnpack_scratch *);
static rnnpack_status (*state_reset)(rnnpack_state *);
static const char *(*message)(void);
static volatile int finished;

/* Puts the address of a function into a pointer to a function, as POSIX says. */
static void find(void *library, const char *name, void *function) {
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(EXIT_FAILURE);
    }
    memcpy(function, &found, sizeof found);
}

static void *strict(void *unused) {
    (void)unused;
    message();
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) {
        perror("seccomp");
        exit(EXIT_FAILURE);
    }
    for (int i = 0; i < 1000; i++) {
        if (state_reset(NULL) != RNNPACK_NULL_POINTER || message()[0] == '\0') {
            syscall(SYS_exit, 1);
        }
    }
    finished = 1;
    syscall(SYS_exit, 0);
    return NULL;
}

/* Whether the library is still mapped. */
static int is_loaded(const char *path) { return dlopen(path, RTLD_NOW | RTLD_NOLOAD) != NULL; }

int main(int count, char **arguments) {
    if (count != 2) {
        return EXIT_FAILURE;
    }
    for (int round = 0; round < 3; round++) {
        void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return EXIT_FAILURE;
        }
        find(library, "rnnpack_scratch_new", &scratch_new);
        find(library, "rnnpack_scratch_free", &scratch_free);
        find(library, "rnnpack_state_reset", &state_reset);
        find(library, "rnnpack_message", &message);
        pthread_t thread;
        finished = 0;
        if (pthread_create(&thread, NULL, strict, NULL) != 0 || pthread_join(thread, NULL) != 0 || !finished) {
            fprintf(stderr, "a failed call entered the system\n");
            return EXIT_FAILURE;
        }
        /* The first handle with a lock registers the handler of forks. */
        rnnpack_scratch *scratch;
        if (scratch_new(&scratch) != RNNPACK_OK || scratch_free(scratch) != RNNPACK_OK || dlclose(library) != 0) {
            return EXIT_FAILURE;
        }
        if (is_loaded(arguments[1])) {
            fprintf(stderr, "the library stays loaded, so this test says nothing\n");
            return EXIT_FAILURE;
        }
        pid_t pid = fork();
        if (pid == 0) {
            _exit(EXIT_SUCCESS);
        }
        int status = 1;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
            fprintf(stderr, "a fork after dlclose failed (%x)\n", (unsigned)status);
            return EXIT_FAILURE;
        }
    }
    puts("loaded, unloaded and forked three times");
    return EXIT_SUCCESS;
}
