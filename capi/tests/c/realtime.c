/* After a warm-up on one thread, a thousand steps and forwards of each operator on another make no system call: the kernel's
 * strict mode kills a thread for any but read, write, exit and the return from signals, and so for what allocation, locks
 * that wait and threads need. Nor do calls that fail. With the argument "cold" there is no warm-up, and the thread must be
 * killed.
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
#include <unistd.h>

enum { OPS = 3, INPUT = 40, HIDDEN = 100, BATCH = 3, TIME = 50, DIRECTIONS = 2, LOOPS = 1000 };
enum { STATE = DIRECTIONS * BATCH * HIDDEN };

static float w[DIRECTIONS * 4 * HIDDEN * INPUT], r[DIRECTIONS * 4 * HIDDEN * HIDDEN], b[DIRECTIONS * 8 * HIDDEN];
static float x[TIME * BATCH * INPUT], y[TIME * STATE], h[STATE], c[STATE];
static const int32_t lens[BATCH] = {TIME, 0, TIME / 2};

/* One operator in both directions: what is called, and what must come out. */
struct stream {
    rnnpack_layer *layer;
    rnnpack_state *state, *other;
    size_t c_count;
    rnnpack_forward_desc call;
    float expected[TIME * STATE];
};

static struct stream streams[OPS];
static rnnpack_scratch *scratch, *other_scratch;
static rnnpack_state *shared;
/* How the thread ended. */
static volatile int finished, failed;

static void fill(float *numbers, size_t count) {
    static unsigned state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        numbers[i] = ((float)(state >> 8) / (float)(1u << 24) - 0.5f) * 0.4f;
    }
}

static int make(struct stream *stream, int32_t op) {
    const size_t gates[OPS] = {4, 3, 1};
    rnnpack_layer_desc desc = {0};
    desc.size = sizeof desc;
    desc.op = op;
    desc.direction = RNNPACK_BIDIRECTIONAL;
    desc.input = INPUT;
    desc.hidden = HIDDEN;
    desc.w = w;
    desc.w_count = DIRECTIONS * gates[op] * HIDDEN * INPUT;
    desc.r = r;
    desc.r_count = DIRECTIONS * gates[op] * HIDDEN * HIDDEN;
    desc.b = b;
    desc.b_count = DIRECTIONS * 2 * gates[op] * HIDDEN;
    stream->c_count = op == RNNPACK_LSTM ? STATE : 0;
    stream->call.size = sizeof stream->call;
    stream->call.time = TIME;
    stream->call.batch = BATCH;
    stream->call.x = x;
    stream->call.x_count = TIME * BATCH * INPUT;
    stream->call.y = y;
    stream->call.y_count = TIME * STATE;
    stream->call.lens = lens;
    stream->call.lens_count = BATCH;
    return rnnpack_layer_new(&desc, &stream->layer) || rnnpack_state_new(stream->layer, BATCH, &stream->state) ||
           rnnpack_state_new(stream->layer, BATCH, &stream->other);
}

/* A number that stops a call from its start on. */
static const int32_t stop = 1;

/* All that may be called in real time: a forward from zeros, then a step, then the state's functions. */
static int run(struct stream *stream) {
    float *at_c = stream->c_count > 0 ? c : NULL;
    return rnnpack_state_reset(stream->state) || rnnpack_forward(stream->layer, stream->state, scratch, &stream->call) ||
           rnnpack_step(stream->layer, stream->state, scratch, x, BATCH * INPUT, h, STATE) ||
           rnnpack_state_copy(stream->state, stream->other) ||
           rnnpack_state_read(stream->other, h, STATE, at_c, stream->c_count) ||
           rnnpack_state_write(stream->state, h, STATE, at_c, stream->c_count) ||
           rnnpack_state_read_row(stream->other, 1, h, STATE / BATCH, at_c, stream->c_count / BATCH) ||
           rnnpack_state_write_row(stream->state, 2, h, STATE / BATCH, at_c, stream->c_count / BATCH) ||
           rnnpack_state_reset_row(stream->state, 0);
}

/* Calls that fail, each in its own way. Returns whether one did not. */
static int run_failures(void) {
    struct stream *lstm = &streams[RNNPACK_LSTM];
    const rnnpack_layer *layer = lstm->layer;
    rnnpack_state *state = lstm->state;
    const size_t count = BATCH * INPUT;
    const int32_t long_lens[BATCH] = {TIME, TIME + 1, 0};
    float *odd = (float *)(void *)((char *)y + 1);
    rnnpack_forward_desc small = lstm->call, threads = lstm->call, lens_too_long = lstm->call, strides = lstm->call,
                         stopped = lstm->call;
    small.size--;
    threads.threads = 7;
    lens_too_long.lens = long_lens;
    strides.y_time_stride = 1;
    stopped.stop = &stop;
    return rnnpack_step(NULL, state, scratch, x, count, y, STATE) != RNNPACK_NULL_POINTER ||
           rnnpack_step(layer, state, NULL, x, count, y, STATE) != RNNPACK_NULL_POINTER ||
           rnnpack_step(layer, state, scratch, x, count, odd, STATE) != RNNPACK_ALIGNMENT ||
           rnnpack_step(layer, state, scratch, x, count - 1, y, STATE) != RNNPACK_SHAPE ||
           rnnpack_step(layer, state, scratch, x, SIZE_MAX, y, STATE) != RNNPACK_SHAPE ||
           rnnpack_step(layer, state, scratch, y, count, y, STATE) != RNNPACK_OVERLAP ||
           rnnpack_step(layer, streams[RNNPACK_GRU].state, scratch, x, count, y, STATE) != RNNPACK_SHAPE ||
           rnnpack_forward(layer, state, scratch, NULL) != RNNPACK_NULL_POINTER ||
           rnnpack_forward(layer, state, scratch, &small) != RNNPACK_STRUCT_SIZE ||
           rnnpack_forward(layer, state, scratch, &threads) != RNNPACK_ARGUMENT ||
           rnnpack_forward(layer, state, scratch, &lens_too_long) != RNNPACK_SHAPE ||
           rnnpack_forward(layer, state, scratch, &strides) != RNNPACK_OVERLAP ||
           rnnpack_forward(layer, state, scratch, &stopped) != RNNPACK_STOPPED ||
           rnnpack_state_read(state, h, 1, NULL, 0) != RNNPACK_SHAPE ||
           rnnpack_state_copy(state, streams[RNNPACK_RNN].state) != RNNPACK_SHAPE ||
           rnnpack_state_reset_row(state, BATCH) != RNNPACK_NOT_FOUND;
}

/* Waits until a call finds that another thread is using the state and the scratch. Returns whether that never happens. */
static int never_busy(void) {
    int state_busy = 0, scratch_busy = 0;
    for (long i = 0; i < 1000000000 && !(state_busy && scratch_busy); i++) {
        const struct stream *lstm = &streams[RNNPACK_LSTM];
        state_busy |= rnnpack_step(lstm->layer, shared, scratch, x, BATCH * INPUT, h, STATE) == RNNPACK_BUSY;
        scratch_busy |= rnnpack_step(lstm->layer, lstm->state, other_scratch, x, BATCH * INPUT, h, STATE) == RNNPACK_BUSY;
    }
    return !(state_busy && scratch_busy);
}

/* The thread without system calls. */
static void *strict(void *unused) {
    (void)unused;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) {
        perror("seccomp");
        exit(EXIT_FAILURE);
    }
    /* From here on no function of the C library that may enter the system. */
    for (int loop = 0; loop < LOOPS; loop++) {
        for (int op = 0; op < OPS; op++) {
            failed |= run(&streams[op]) || memcmp(streams[op].expected, y, sizeof y) != 0;
        }
        failed |= run_failures();
    }
    failed |= never_busy();
    finished = 1;
    syscall(SYS_exit, 0);
    return NULL;
}

int main(int count, char **arguments) {
    int cold = count > 1 && strcmp(arguments[1], "cold") == 0;
    fill(w, sizeof w / sizeof *w);
    fill(r, sizeof r / sizeof *r);
    fill(b, sizeof b / sizeof *b);
    fill(x, sizeof x / sizeof *x);
    if (rnnpack_scratch_new(&scratch) || rnnpack_scratch_new(&other_scratch)) {
        return EXIT_FAILURE;
    }
    for (int32_t op = 0; op < OPS; op++) {
        if (make(&streams[op], op) || (!cold && run(&streams[op]))) {
            fprintf(stderr, "%s\n", rnnpack_message());
            return EXIT_FAILURE;
        }
        memcpy(streams[op].expected, y, sizeof y);
    }
    /* A call that may be stopped keeps a copy of the state: it has a warm-up of its own. */
    if (!cold && run_failures()) {
        fprintf(stderr, "a call did not fail as it must\n");
        return EXIT_FAILURE;
    }
    if (rnnpack_state_new(streams[RNNPACK_LSTM].layer, BATCH, &shared)) {
        return EXIT_FAILURE;
    }
    /* This thread uses one state and one scratch all the time, until the other has ended. */
    const struct stream *lstm = &streams[RNNPACK_LSTM];
    static float other_y[TIME * STATE];
    rnnpack_forward_desc call = lstm->call;
    call.y = other_y;
    pthread_t thread;
    if (pthread_create(&thread, NULL, strict, NULL) != 0) {
        return EXIT_FAILURE;
    }
    do {
        rnnpack_forward(lstm->layer, shared, other_scratch, &call);
    } while (pthread_tryjoin_np(thread, NULL) != 0);
    if (cold && !finished) {
        puts("killed, as it must be without a warm-up");
    }
    return !failed && finished == !cold ? EXIT_SUCCESS : EXIT_FAILURE;
}
