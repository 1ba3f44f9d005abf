/* Ten thousand streams of H = 20 that have each run T = 100 steps on one scratch take at most 60 MB of resident memory.
 * Linux says how much that is.
 */
#include <rnnpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS = 10000, INPUT = 10, HIDDEN = 20, TIME = 100, LIMIT_KIB = 60000 };

static float w[4 * HIDDEN * INPUT], r[4 * HIDDEN * HIDDEN], x[TIME * INPUT], y[TIME * HIDDEN];
static rnnpack_state *states[STREAMS];

static void check(rnnpack_status status) {
    if (status != RNNPACK_OK) {
        fprintf(stderr, "%s\n", rnnpack_message());
        exit(EXIT_FAILURE);
    }
}

/* A line of /proc/self/status in KiB. */
static long kibibytes(const char *key) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long found = -1;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            found = strtol(line + strlen(key), NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

int main(void) {
    rnnpack_layer_desc desc = {0};
    desc.size = sizeof desc;
    desc.input = INPUT;
    desc.hidden = HIDDEN;
    desc.w = w;
    desc.w_count = sizeof w / sizeof *w;
    desc.r = r;
    desc.r_count = sizeof r / sizeof *r;
    rnnpack_layer *layer;
    rnnpack_scratch *scratch;
    check(rnnpack_layer_new(&desc, &layer));
    check(rnnpack_scratch_new(&scratch));

    rnnpack_forward_desc call = {0};
    call.size = sizeof call;
    call.time = TIME;
    call.batch = 1;
    call.x = x;
    call.x_count = sizeof x / sizeof *x;
    call.y = y;
    call.y_count = sizeof y / sizeof *y;
    for (size_t i = 0; i < STREAMS; i++) {
        check(rnnpack_state_new(layer, 1, &states[i]));
        check(rnnpack_forward(layer, states[i], scratch, &call));
    }
    long resident = kibibytes("VmRSS:"), most = kibibytes("VmHWM:");
    printf("%d streams: %ld KiB resident, %ld KiB at most\n", STREAMS, resident, most);

    for (size_t i = 0; i < STREAMS; i++) {
        check(rnnpack_state_free(states[i]));
    }
    check(rnnpack_scratch_free(scratch));
    check(rnnpack_layer_free(layer));
    return resident > 0 && most > 0 && resident <= LIMIT_KIB && most <= LIMIT_KIB ? EXIT_SUCCESS : EXIT_FAILURE;
}
