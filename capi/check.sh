#!/bin/sh
# Installs the C interface under a temporary prefix, compiles the C and C++ programs against it, and runs them: against the
# shared and the static library, under valgrind, under AddressSanitizer and UBSan, and without system calls. For Linux.
set -eu
cd "$(dirname "$0")/.."
[ "$(uname -s)" = Linux ] || { echo 'capi/check.sh: this is for Linux' >&2; exit 1; }

# Every tool that is used, with the Debian package that has it.
missing=
for tool in gcc:gcc g++:g++ pkg-config:pkg-config valgrind:valgrind nm:binutils python3:python3; do
    command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool#*:}"
done
if [ -n "$missing" ] && command -v apt-get >/dev/null; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    # shellcheck disable=SC2086
    $sudo apt-get update && $sudo apt-get install --yes --no-install-recommends $missing
elif [ -n "$missing" ]; then
    echo "capi/check.sh: install first:$missing" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
capi/install.sh --prefix "$prefix"
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib"
# A prefix where the linker finds the static library alone.
mkdir -p "$work/static/lib" "$work/static/include"
cp "$prefix/lib/librnnpack.a" "$work/static/lib"
cp "$prefix/include/rnnpack.h" "$work/static/include"

echo '== the shared library exports the functions of the header'
sed -n 's/^[a-z].*\(rnnpack_[a-z_]*\)(.*/\1/p' "$prefix/include/rnnpack.h" | sort >"$work/declared"
nm --dynamic --defined-only "$prefix/lib/librnnpack.so" | sed -n 's/^[0-9a-f]* T //p' | sort >"$work/exported"
[ -s "$work/declared" ]
diff "$work/declared" "$work/exported"

# flags shared|static: what pkg-config says of a library.
flags() {
    case $1 in
    shared) pkg-config --cflags --libs rnnpack ;;
    static) pkg-config --define-variable=prefix="$work/static" --static --cflags --libs rnnpack ;;
    esac
}

# compile OUTPUT LIBRARY COMPILER… SOURCE
compile() {
    output=$work/$1 library=$2
    shift 2
    # shellcheck disable=SC2046
    "$@" -g -O1 -Wall -Wextra -Wpedantic -Werror -o "$output" $(flags "$library")
    if [ "$library" = shared ]; then
        readelf --dynamic "$output" | grep -q 'NEEDED.*librnnpack\.so\.0'
    else
        ! readelf --dynamic "$output" | grep 'NEEDED.*librnnpack'
    fi
}

model=tests/fixtures/silero_vad/silero_vad_16k_op15.onnx
sanitizers='-fsanitize=address,undefined -fno-sanitize-recover=all'
memcheck='valgrind --quiet --leak-check=full --error-exitcode=1'
for library in shared static; do
    for standard in c99 c11; do
        echo "== stream.c, $standard, $library"
        compile stream $library gcc -std=$standard examples/c/stream.c
        "$work/stream"
    done
    $memcheck "$work/stream"
    echo "== onnx_layer.cpp, $library"
    compile onnx_layer $library g++ -std=c++17 examples/c/onnx_layer.cpp
    "$work/onnx_layer" $model
    $memcheck "$work/onnx_layer" $model
    echo "== under sanitizers, $library"
    # shellcheck disable=SC2086
    compile stream $library gcc -std=c99 $sanitizers examples/c/stream.c
    "$work/stream"
    # shellcheck disable=SC2086
    compile onnx_layer $library g++ -std=c++17 $sanitizers examples/c/onnx_layer.cpp
    "$work/onnx_layer" $model
    echo "== without system calls, $library"
    compile realtime $library gcc -std=c99 capi/tests/c/realtime.c
    "$work/realtime"
    status=0
    "$work/realtime" cold || status=$?
    [ $status = 137 ] || { echo "without a warm-up it ended with $status, not killed"; exit 1; }
done
echo 'the C interface works'
