#!/bin/bash
# Installs the C interface under a temporary prefix, compiles the C and C++ programs against it in every way, and runs them:
# against the shared and the static library, under valgrind, under AddressSanitizer and UBSan, without system calls, in forked
# processes, and built by CMake. For Linux.
#
#   capi/check.sh             the checks; it installs nothing in the system
#   capi/check.sh --missing   the Debian packages that it needs and that are not there
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(uname -s)" = Linux ] || { echo 'capi/check.sh: this is for Linux' >&2; exit 1; }

# Every tool that is used, with the Debian package that has it.
missing=()
for tool in gcc:gcc g++:g++ clang:clang pkg-config:pkg-config cmake:cmake make:make valgrind:valgrind nm:binutils \
    python3:python3; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool#*:}")
done
if [ "${1-}" = --missing ]; then
    echo "${missing[*]}"
    exit
elif [ ${#missing[@]} -gt 0 ]; then
    echo "capi/check.sh: install first: ${missing[*]}" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
capi/install.sh --prefix "$prefix"
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib"
model=tests/fixtures/silero_vad/silero_vad_16k_op15.onnx
warnings=(-g -O1 -Wall -Wextra -Wpedantic -Werror)
memcheck=(valgrind --quiet --leak-check=full --error-exitcode=1)

# flags HOW: what pkg-config says of the shared library, of the static one, and of the static one with a static libc.
flags() {
    case $1 in
    shared) pkg-config --cflags --libs rnnpack ;;
    static) pkg-config --cflags --libs rnnpack-static ;;
    all_static) echo "$(pkg-config --static --cflags --libs rnnpack) -static" ;;
    esac
}

# compile OUTPUT HOW COMPILER… SOURCE
compile() {
    local output=$work/$1 how=$2
    shift 2
    # shellcheck disable=SC2046
    "$@" "${warnings[@]}" -o "$output" $(flags "$how")
    local needed
    needed=$(readelf --dynamic "$output")
    case $how in
    shared) [[ $needed = *NEEDED*librnnpack.so.0* ]] ;;
    static) [[ $needed = *NEEDED*libc.so* && $needed != *NEEDED*librnnpack* ]] ;;
    all_static) [[ $needed != *NEEDED* ]] ;;
    esac
}

visible() {
    echo '== the libraries show the functions of the header, and nothing else'
    sed -n 's/^[a-z].*\(rnnpack_[a-z_]*\)(.*/\1/p' "$prefix/include/rnnpack.h" | sort >"$work/declared"
    [ -s "$work/declared" ]
    nm --dynamic --defined-only "$prefix/lib/librnnpack.so" | sed -n 's/^[0-9a-f]* T //p' | sort |
        diff "$work/declared" -
    nm --extern-only --defined-only "$prefix/lib/librnnpack.a" | sed -n 's/^[0-9a-f]* [^ ]* //p' | sort |
        diff "$work/declared" -
}

header() {
    echo '== the header in every standard'
    local compiler standard
    for compiler in gcc clang; do
        for standard in c89 c99 c11 c17; do
            compile header shared $compiler -std=$standard capi/tests/c/header.c
            "$work/header"
        done
    done
    for compiler in g++ clang++; do
        for standard in c++98 c++11 c++17 c++20; do
            compile header shared $compiler -std=$standard -x c++ capi/tests/c/header.c -x none
            "$work/header"
        done
    done
}

# examples HOW: compiled by both compilers, and run.
examples() {
    local standard
    for standard in c99 c11; do
        echo "== stream.c, $standard, $1"
        compile stream "$1" gcc -std=$standard examples/c/stream.c
        "$work/stream"
        compile stream "$1" clang -std=$standard examples/c/stream.c
        "$work/stream"
    done
    echo "== onnx_layer.cpp, $1"
    compile onnx_layer "$1" clang++ -std=c++17 examples/c/onnx_layer.cpp
    "$work/onnx_layer" $model
    compile onnx_layer "$1" g++ -std=c++17 examples/c/onnx_layer.cpp
    "$work/onnx_layer" $model
    # The program's own exception, with the message of the library.
    local said
    said=$("$work/onnx_layer" none 2>&1) && return 1
    [[ $said = *'file `none`'* ]]
}

# memory HOW: what valgrind and the sanitizers find.
memory() {
    local sanitizers=(-fsanitize=address,undefined -fno-sanitize-recover=all)
    echo "== under valgrind and sanitizers, $1"
    compile stream "$1" gcc -std=c99 examples/c/stream.c
    compile onnx_layer "$1" g++ -std=c++17 examples/c/onnx_layer.cpp
    "${memcheck[@]}" "$work/stream"
    "${memcheck[@]}" "$work/onnx_layer" $model
    compile stream "$1" gcc -std=c99 "${sanitizers[@]}" examples/c/stream.c
    "$work/stream"
    compile onnx_layer "$1" g++ -std=c++17 "${sanitizers[@]}" examples/c/onnx_layer.cpp
    "$work/onnx_layer" $model
}

# promises HOW: real time, memory of streams, forks.
promises() {
    echo "== without system calls, $1"
    compile realtime "$1" gcc -std=c99 -pthread capi/tests/c/realtime.c
    "$work/realtime"
    "$work/realtime" cold
    echo "== the memory of streams, $1"
    compile memory "$1" gcc -std=c99 capi/tests/c/memory.c
    "$work/memory"
    echo "== forks, $1"
    compile fork "$1" gcc -std=c99 -pthread capi/tests/c/fork.c
    timeout 300 "$work/fork" handles
    RAYON_NUM_THREADS=4 timeout 300 "$work/fork" pool
}

loaded() {
    echo '== loaded by dlopen, and by Python'
    gcc -std=c99 "${warnings[@]}" -I"$prefix/include" -pthread -o "$work/unload" capi/tests/c/unload.c -ldl
    "$work/unload" "$prefix/lib/librnnpack.so"
    RAYON_NUM_THREADS=4 timeout 300 python3 capi/tests/fork.py "$prefix/lib/librnnpack.so"
}

two_libraries() {
    echo '== beside another static library of Rust'
    rustc --edition 2024 --crate-type staticlib -O -o "$work/libother.a" capi/tests/c/other.rs
    echo other_sum >"$work/names"
    # What install.sh does to our library leaves panics what they are.
    capi/localize.sh "$work/libother.a" "$work/names" "$work/libsmall.a"
    local other how
    for other in other small; do
        for how in static all_static; do
            compile two $how gcc -std=c99 capi/tests/c/two.c "$work/lib$other.a"
            "$work/two"
        done
    done
    # The linker still leaves out what a program does not need.
    compile two static gcc -s -std=c99 capi/tests/c/two.c "$work/libsmall.a"
    local whole small
    whole=$(stat --format %s "$work/two")
    compile two static gcc -s -Wl,--gc-sections -std=c99 capi/tests/c/two.c "$work/libsmall.a"
    small=$(stat --format %s "$work/two")
    echo "a program with one function of each: $whole bytes, with --gc-sections $small"
    [ "$small" -lt $((whole * 3 / 4)) ]
}

# With the installed files at another place than that of the installation.
with_cmake() {
    echo '== CMake'
    local moved="$work/another place"
    cp -a "$prefix" "$moved"
    cmake -S examples/c -B "$work/build" -DCMAKE_PREFIX_PATH="$moved" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_FLAGS='-Wall -Wextra -Werror' -DCMAKE_CXX_FLAGS='-Wall -Wextra -Werror'
    cmake --build "$work/build" --parallel 2
    local program
    for program in stream stream_static; do
        env -u LD_LIBRARY_PATH "$work/build/$program"
    done
    for program in onnx_layer onnx_layer_static; do
        env -u LD_LIBRARY_PATH "$work/build/$program" $model
    done
    readelf --dynamic "$work/build/stream" | grep 'NEEDED.*librnnpack\.so\.0'
    ! readelf --dynamic "$work/build/stream_static" | grep 'NEEDED.*librnnpack'
    # A version that this one cannot stand for is not found.
    sed 's/find_package(rnnpack 0.1 REQUIRED)/find_package(rnnpack 0.0.9 REQUIRED)/' examples/c/CMakeLists.txt \
        >"$work/CMakeLists.txt"
    mkdir "$work/older"
    mv "$work/CMakeLists.txt" "$work/older"
    if cmake -S "$work/older" -B "$work/older/build" -DCMAKE_PREFIX_PATH="$moved" >"$work/said" 2>&1; then
        echo "CMake takes another version for 0.0.9"
        return 1
    fi
    grep -q 'version: 0\.1\.' "$work/said"
}

visible
header
for how in shared static all_static; do
    examples $how
    promises $how
done
memory shared
memory static
loaded
two_libraries
with_cmake
echo 'the C interface works'
