/* The header in C89, without comments that start with two slashes: its macros are the library's version. */
#include <rnnpack.h>
#include <stdio.h>
#include <string.h>

#if RNNPACK_VERSION < 1000 || \
    RNNPACK_VERSION != 1000000 * RNNPACK_VERSION_MAJOR + 1000 * RNNPACK_VERSION_MINOR + RNNPACK_VERSION_PATCH
#error "the version's number is not made of its parts"
#endif

int main(void) {
    const char *version;
    char parts[64];
    rnnpack_forward_desc call;
    rnnpack_layer *none = NULL;
    sprintf(parts, "%d.%d.%d", RNNPACK_VERSION_MAJOR, RNNPACK_VERSION_MINOR, RNNPACK_VERSION_PATCH);
    if (rnnpack_version(&version) != RNNPACK_OK || strcmp(version, RNNPACK_VERSION_STRING) != 0 ||
        strcmp(version, parts) != 0) {
        return 1;
    }
    memset(&call, 0, sizeof call);
    call.size = sizeof call;
    return rnnpack_forward(none, NULL, NULL, &call) == RNNPACK_NULL_POINTER ? 0 : 1;
}
