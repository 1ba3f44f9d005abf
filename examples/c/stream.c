/* A GRU from weights in memory, and a stream that goes through it step by step.
 *
 *   cc -std=c99 stream.c $(pkg-config --cflags --libs rnnpack) && ./a.out
 */
#include <rnnpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATES = 3, INPUT = 8, HIDDEN = 16, STEPS = 20 };

static void check(rnnpack_status status, const char *what) {
    if (status != RNNPACK_OK) {
        fprintf(stderr, "%s: %s\n", what, rnnpack_message());
        exit(EXIT_FAILURE);
    }
}

/* Stands for weights and samples that come from elsewhere. */
static void fill(float *numbers, size_t count) {
    static unsigned state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        numbers[i] = (float)(state >> 8) / (float)(1u << 24) - 0.5f;
    }
}

int main(void) {
    static float w[GATES * HIDDEN * INPUT], r[GATES * HIDDEN * HIDDEN], b[2 * GATES * HIDDEN];
    fill(w, sizeof w / sizeof *w);
    fill(r, sizeof r / sizeof *r);
    fill(b, sizeof b / sizeof *b);

    rnnpack_layer_desc desc = {0};
    desc.size = sizeof desc;
    desc.op = RNNPACK_GRU;
    desc.gate_order = RNNPACK_GATES_PYTORCH;
    desc.linear_before_reset = 1;
    desc.input = INPUT;
    desc.hidden = HIDDEN;
    desc.w = w;
    desc.w_count = sizeof w / sizeof *w;
    desc.r = r;
    desc.r_count = sizeof r / sizeof *r;
    desc.b = b;
    desc.b_count = sizeof b / sizeof *b;

    rnnpack_layer *layer;
    rnnpack_state *state;
    rnnpack_scratch *scratch; /* of this thread, for any number of layers and states */
    check(rnnpack_layer_new(&desc, &layer), "the layer");
    check(rnnpack_state_new(layer, 1, &state), "the state");
    check(rnnpack_scratch_new(&scratch), "the scratch");

    rnnpack_layer_info info = {0};
    info.size = sizeof info;
    check(rnnpack_layer_get_info(layer, &info), "the layer");
    printf("%zu inputs, %zu hidden units, %zu bytes packed for %s\n", info.input, info.hidden, info.packed_bytes,
           info.isa);

    static float x[STEPS][INPUT], y[STEPS][HIDDEN];
    fill(&x[0][0], sizeof x / sizeof **x);
    for (size_t t = 0; t < STEPS; t++) {
        check(rnnpack_step(layer, state, scratch, x[t], INPUT, y[t], HIDDEN), "a step");
    }
    printf("last y: %g %g %g ...\n", (double)y[STEPS - 1][0], (double)y[STEPS - 1][1], (double)y[STEPS - 1][2]);

    /* The same in one call gives the same bits. */
    static float whole[STEPS][HIDDEN];
    rnnpack_forward_desc call = {0};
    call.size = sizeof call;
    call.time = STEPS;
    call.batch = 1;
    call.x = &x[0][0];
    call.x_count = sizeof x / sizeof **x;
    call.y = &whole[0][0];
    call.y_count = sizeof whole / sizeof **whole;
    check(rnnpack_state_reset(state), "the state");
    check(rnnpack_forward(layer, state, scratch, &call), "the sequence");
    int same = memcmp(y, whole, sizeof y) == 0;
    puts(same ? "in one call: the same bits" : "in one call: other bits");

    check(rnnpack_scratch_free(scratch), "the scratch");
    check(rnnpack_state_free(state), "the state");
    check(rnnpack_layer_free(layer), "the layer");
    return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
