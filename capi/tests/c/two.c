/* A program with two static libraries of Rust. The other one catches a panic. */
#include <rnnpack.h>
#include <stdint.h>
#include <stdio.h>

uint32_t other_sum(uint32_t n);

int main(void) {
    const char *isa;
    if (rnnpack_isa(&isa) != RNNPACK_OK || other_sum(10) != 45 || other_sum(1000) != 0) {
        return 1;
    }
    printf("both libraries work, %s\n", isa);
    return 0;
}
