/* After a warm-up, a thousand steps and forwards of each operator make no system call: the kernel's strict mode kills a
 * process for any but read, write, exit and the return from signals, and so for what allocation, locks that wait and
 * threads need. With the argument "cold" there is no warm-up, and the process must be killed.
 */
#define _GNU_SOURCE
#include <linux/seccomp.h>
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

/* All that may be called in real time: a forward from zeros, then a step, then the state's functions. */
static int run(struct stream *stream) {
    float *at_c = stream->c_count > 0 ? c : NULL;
    return rnnpack_state_reset(stream->state) || rnnpack_forward(stream->layer, stream->state, &stream->call) ||
           rnnpack_step(stream->layer, stream->state, x, BATCH * INPUT, h, STATE) ||
           rnnpack_state_copy(stream->state, stream->other) ||
           rnnpack_state_read(stream->other, h, STATE, at_c, stream->c_count) ||
           rnnpack_state_write(stream->state, h, STATE, at_c, stream->c_count);
}

int main(int count, char **arguments) {
    int cold = count > 1 && strcmp(arguments[1], "cold") == 0;
    fill(w, sizeof w / sizeof *w);
    fill(r, sizeof r / sizeof *r);
    fill(b, sizeof b / sizeof *b);
    fill(x, sizeof x / sizeof *x);
    for (int32_t op = 0; op < OPS; op++) {
        if (make(&streams[op], op) || (!cold && run(&streams[op]))) {
            fprintf(stderr, "%s\n", rnnpack_message());
            return EXIT_FAILURE;
        }
        memcpy(streams[op].expected, y, sizeof y);
    }
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) {
        perror("seccomp");
        return EXIT_FAILURE;
    }
    /* From here on no function of the C library that may enter the system. */
    int failed = 0;
    for (int loop = 0; loop < LOOPS; loop++) {
        for (int op = 0; op < OPS; op++) {
            failed |= run(&streams[op]) || memcmp(streams[op].expected, y, sizeof y) != 0;
        }
    }
    syscall(SYS_exit, failed);
    return EXIT_FAILURE;
}
