#!/bin/sh
# Builds librnnpack and installs it, its header, and its files for pkg-config and CMake:
#
#   capi/install.sh [--prefix DIR] [--destdir DIR]
#
# --prefix is where it will be used from, /usr/local by default. --destdir is put in front while files are copied, for
# packages.
set -eu

usage() {
    echo 'usage: capi/install.sh [--prefix DIR] [--destdir DIR]' >&2
    exit 2
}

prefix=/usr/local
destdir=
here=$PWD
cd "$(dirname "$0")/.."
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
    --prefix) prefix=$2 ;;
    --destdir) destdir=$2 ;;
    *) usage ;;
    esac
    shift 2
done
case $prefix in
/*) ;;
*) echo "capi/install.sh: the prefix $prefix is not absolute" >&2; exit 2 ;;
esac

case $destdir in
'' | /*) ;;
*) destdir=$here/$destdir ;;
esac

# A library that an earlier build left must not be taken for this one's, should cargo be set to build elsewhere.
built=${CARGO_TARGET_DIR:-target}/release
rm -f "$built"/librnnpack_capi.*

# The compiler names the system libraries that a program with the static library needs. libgcc_s and libc come with every
# compiler driver, which also knows their static forms.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo rustc --color never --locked --release --package rnnpack-capi --lib -- --print native-static-libs 2>&1 | tee "$log" >&2
libs=$(sed -n 's/^note: native-static-libs: //p' "$log" | tail -n 1)
if [ "$(uname -s)" = Linux ]; then
    libs=$(printf '%s\n' $libs | awk '!/^-l(gcc_s|c)$/ && !seen[$0]++' | tr '\n' ' ')
    libs=${libs% }
fi
[ -n "$libs" ] || { echo 'capi/install.sh: the build failed' >&2; exit 1; }

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
lib=$destdir$prefix/lib
mkdir -p "$lib/pkgconfig" "$lib/cmake/rnnpack" "$destdir$prefix/include"
case $(uname -s) in
Darwin) suffix=.dylib versioned=librnnpack.$version.dylib major=librnnpack.${version%%.*}.dylib soname=@rpath/$major ;;
*) suffix=.so versioned=librnnpack.so.$version major=librnnpack.so.${version%%.*} soname=$major ;;
esac
# Removed first: programs that run keep the file that they have.
rm -f "$lib/$versioned"
cp "$built/librnnpack_capi$suffix" "$lib/$versioned"
ln -sf "$versioned" "$lib/$major"
ln -sf "$major" "$lib/librnnpack$suffix"
if [ "$(uname -s)" = Linux ]; then
    sed -n 's/^[a-z].*\(rnnpack_[a-z_]*\)(.*/\1/p' capi/include/rnnpack.h >"$log"
    capi/localize.sh "$built/librnnpack_capi.a" "$log" "$lib/librnnpack.a"
else
    cp "$built/librnnpack_capi.a" "$lib/librnnpack.a"
fi
cp capi/include/rnnpack.h "$destdir$prefix/include/rnnpack.h"

# fill FILE: the text of capi/FILE.in.
escaped=$(printf '%s\n' "$prefix" | sed 's/[&|\\]/\\&/g')
list=$(printf '%s\n' "$libs" | tr ' ' ';')
fill() {
    sed -e "s|@PREFIX@|$escaped|" -e "s|@VERSION@|$version|" -e "s|@LIBS@|$libs|" -e "s|@LIST_OF_LIBS@|$list|" \
        -e "s|@SHARED@|$versioned|" -e "s|@SONAME@|$soname|" "capi/$1.in"
}
fill rnnpack.pc >"$lib/pkgconfig/rnnpack.pc"
fill rnnpack-static.pc >"$lib/pkgconfig/rnnpack-static.pc"
fill rnnpackConfig.cmake >"$lib/cmake/rnnpack/rnnpackConfig.cmake"
fill rnnpackConfigVersion.cmake >"$lib/cmake/rnnpack/rnnpackConfigVersion.cmake"
echo "installed rnnpack $version in $destdir$prefix"
