#!/bin/sh
# Leaves only some functions visible in a static library of Rust, for Linux:
#
#   capi/localize.sh LIBRARY NAMES OUT
#
# NAMES is a file with the functions, one a line. Everything that they need, and nothing else, becomes one object of which no
# other name can be seen. So a program may link several such libraries, and libraries of other versions of Rust.
set -eu
[ $# = 3 ] || { echo 'usage: capi/localize.sh LIBRARY NAMES OUT' >&2; exit 2; }
library=$1 names=$2 out=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Groups are sections that a linker takes from one object alone. Without them, none of ours replaces another library's.
# shellcheck disable=SC2046
"${LD:-ld}" -r --gc-sections --force-group-allocation $(sed 's/^/-u /' "$names") \
    -o "$work/all.o" --whole-archive "$library"
# Names that only left-out parts needed; and bitcode, which other compilers' tools cannot read.
"${READELF:-readelf}" --symbols --wide "$work/all.o" |
    awk '$5 == "LOCAL" && $7 == "UND" && $8 != "" { print $8 }' >"$work/unused"
"${OBJCOPY:-objcopy}" --remove-section .llvmbc --remove-section .llvmcmd --strip-symbols="$work/unused" \
    --keep-global-symbols="$names" "$work/all.o" "$work/$(basename "$out" .a).o"
rm -f "$out"
"${AR:-ar}" rcs "$out" "$work/$(basename "$out" .a).o"
