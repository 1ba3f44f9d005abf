/* What a child process can do with the handles that its parent used at the fork: "fork handles", and with the pool of
 * threads that the parent had: "fork pool". Nothing may wait for ever: an alarm ends each child.
 */
#define _GNU_SOURCE
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

enum { INPUT = 64, HIDDEN = 128, BATCH = 32, TIME = 400, SECONDS = 60 };

static float w[4 * HIDDEN * INPUT], r[4 * HIDDEN * HIDDEN], x[TIME * BATCH * INPUT];
static float expected[BATCH * HIDDEN], y[TIME * BATCH * HIDDEN], other[TIME * BATCH * HIDDEN];
static rnnpack_layer *layer;
static rnnpack_state *state, *idle;
static rnnpack_scratch *scratch, *idle_scratch;
static rnnpack_forward_desc call, endless;
static int32_t enough;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, rnnpack_message());
    _exit(EXIT_FAILURE);
}

static void check(rnnpack_status status, const char *what) {
    if (status != RNNPACK_OK) {
        fail(what);
    }
}

static void expect(rnnpack_status status, rnnpack_status expected_status, const char *what) {
    if (status != expected_status) {
        fprintf(stderr, "status %d, not %d: ", (int)status, (int)expected_status);
        fail(what);
    }
}

static void fill(float *numbers, size_t count) {
    static unsigned last = 1;
    for (size_t i = 0; i < count; i++) {
        last = last * 1664525u + 1013904223u;
        numbers[i] = ((float)(last >> 8) / (float)(1u << 24) - 0.5f) * 0.2f;
    }
}

static rnnpack_status step(rnnpack_state *of, rnnpack_scratch *with) {
    return rnnpack_step(layer, of, with, x, BATCH * INPUT, y, BATCH * HIDDEN);
}

/* A step from zeros gives the bits that it gave before any fork. */
static void check_step(rnnpack_state *of, rnnpack_scratch *with, const char *what) {
    check(rnnpack_state_reset(of), what);
    memset(y, 0, sizeof y);
    check(step(of, with), what);
    if (memcmp(y, expected, sizeof expected) != 0) {
        fail("other bits");
    }
}

/* Runs one child, which must work. */
static void child(void (*run)(void), const char *what) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(SECONDS);
        run();
        _exit(EXIT_SUCCESS);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS) {
        fprintf(stderr, "the child failed (%x): %s\n", (unsigned)status, what);
        exit(EXIT_FAILURE);
    }
    printf("ok: %s\n", what);
}

/* Uses the state and the scratch in one call, until it is stopped. */
static void *keep_busy(void *unused) {
    (void)unused;
    expect(rnnpack_forward(layer, state, scratch, &endless), RNNPACK_STOPPED, "the long call");
    return NULL;
}

static void refused(void) {
    float one;
    expect(step(state, idle_scratch), RNNPACK_FORKED, "a step of the state");
    if (strstr(rnnpack_message(), "rnnpack_state_reset") == NULL) {
        fail("the message does not say what to do");
    }
    expect(step(idle, scratch), RNNPACK_FORKED, "a step with the scratch");
    if (strstr(rnnpack_message(), "make a new scratch") == NULL) {
        fail("the message does not say what to do");
    }
    expect(rnnpack_forward(layer, state, idle_scratch, &call), RNNPACK_FORKED, "a forward");
    expect(rnnpack_state_copy(idle, state), RNNPACK_FORKED, "a copy to the state");
    expect(rnnpack_state_copy(state, idle), RNNPACK_FORKED, "a copy of the state");
    expect(rnnpack_state_read(state, &one, 1, NULL, 0), RNNPACK_FORKED, "a read");
    expect(rnnpack_state_write(state, &one, 1, NULL, 0), RNNPACK_FORKED, "a write");
    expect(rnnpack_state_reset_row(state, 0), RNNPACK_FORKED, "a reset of a row");
}

static void go_on(void) {
    rnnpack_scratch *own;
    refused();
    check_step(idle, idle_scratch, "a state and a scratch that nobody used");
    check_step(state, idle_scratch, "the state after a reset");
    check(rnnpack_scratch_new(&own), "a scratch of its own");
    check_step(state, own, "the state with a new scratch");
    check(rnnpack_forward(layer, state, own, &call), "a long call");
    check(rnnpack_scratch_free(scratch), "the scratch is left");
    check(rnnpack_scratch_free(own), "a scratch of its own");
    check(rnnpack_state_free(state), "the state after a reset");
}

static void free_at_once(void) {
    check(rnnpack_state_free(state), "the state as it is");
    check(rnnpack_scratch_free(scratch), "the scratch as it is");
    check(rnnpack_state_free(idle), "another state");
    check(rnnpack_scratch_free(idle_scratch), "another scratch");
    check(rnnpack_layer_free(layer), "the layer");
}

static void grandchild(void) { child(go_on, "the same in a grandchild"); }

static void without_system_calls(void) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) {
        fail("seccomp");
    }
    int wrong = step(state, idle_scratch) != RNNPACK_FORKED || step(idle, scratch) != RNNPACK_FORKED ||
                rnnpack_state_reset(state) != RNNPACK_OK || step(state, idle_scratch) != RNNPACK_OK;
    syscall(SYS_exit, wrong);
}

static void handles(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, keep_busy, NULL) != 0) {
        fail("no thread");
    }
    while (rnnpack_state_read(state, NULL, 0, NULL, 0) != RNNPACK_BUSY) {
        usleep(1000);
    }
    usleep(20000); /* from the lock of the state to that of the scratch */
    child(go_on, "a child resets the state and goes on");
    child(free_at_once, "a child frees everything");
    child(grandchild, "a child of a child");
    child(without_system_calls, "refusals and the reset without system calls");
    __atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    check_step(state, scratch, "the parent's state");
    child(free_at_once, "a child after the calls have ended");
}

static void with_pool(void) {
    rnnpack_forward_desc parallel = call;
    parallel.threads = RNNPACK_THREADS_POOL;
    parallel.y = y;
    memset(y, 0, sizeof y);
    check(rnnpack_state_reset(idle), "a state");
    check(rnnpack_forward(layer, idle, idle_scratch, &parallel), "a call with the pool");
    if (memcmp(y, other, sizeof y) != 0) {
        fail("the pool gives other bits");
    }
}

int main(int count, char **arguments) {
    fill(w, sizeof w / sizeof *w);
    fill(r, sizeof r / sizeof *r);
    fill(x, sizeof x / sizeof *x);
    rnnpack_layer_desc desc = {0};
    desc.size = sizeof desc;
    desc.input = INPUT;
    desc.hidden = HIDDEN;
    desc.w = w;
    desc.w_count = sizeof w / sizeof *w;
    desc.r = r;
    desc.r_count = sizeof r / sizeof *r;
    check(rnnpack_layer_new(&desc, &layer), "the layer");
    check(rnnpack_state_new(layer, BATCH, &state), "a state");
    check(rnnpack_state_new(layer, BATCH, &idle), "another state");
    check(rnnpack_scratch_new(&scratch), "a scratch");
    check(rnnpack_scratch_new(&idle_scratch), "another scratch");
    call.size = sizeof call;
    call.time = TIME;
    call.batch = BATCH;
    call.x = x;
    call.x_count = sizeof x / sizeof *x;
    call.y = other;
    call.y_count = sizeof other / sizeof *other;
    /* Every step reads the same x. */
    endless = call;
    endless.time = (size_t)1 << 30;
    endless.x_batch_stride = INPUT;
    endless.y = NULL;
    endless.y_count = 0;
    endless.stop = &enough;
    check(step(idle, idle_scratch), "a step");
    memcpy(expected, y, sizeof expected);
    check(rnnpack_state_reset(idle), "another state");
    check(rnnpack_forward(layer, idle, idle_scratch, &call), "a forward");

    if (count > 1 && strcmp(arguments[1], "pool") == 0) {
        with_pool();
        child(with_pool, "a call with the pool in a child");
        with_pool();
    } else {
        handles();
    }
    return EXIT_SUCCESS;
}
