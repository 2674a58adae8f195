#!/usr/bin/env bash
# empty_environment.sh PYTHON WHEEL: the wheel in an environment of its own, with nothing but numpy. Its libraries have to come from
# the wheel itself, whatever this machine has; then the pages of the guide run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
environment="$root/build/venv-empty"

most=$((25 * 1024 * 1024))
size=$(stat --format %s "$2")
if [ "$size" -gt "$most" ]; then
  echo "$2 has $size bytes, expected at most $most" >&2
  exit 1
fi

rm -rf "$environment"
"$1" -m venv "$environment"
awk '/^numpy==/ { inside = 1; print; next } /^[^ ]/ { inside = 0 } inside' "$root/python/requirements/test.txt" >"$environment/numpy.txt"
pip=("$environment/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install --require-hashes -r "$environment/numpy.txt"
"${pip[@]}" install --no-index "$2"

cd "$environment"
# What every Linux with this C library has; everything else the extension needs must lie beside it.
system='^(linux-vdso|/lib(64)?/ld-linux|libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+)(-x86-64)?\.so'
module=$(bin/python -c 'import vicinal._vicinal as m; print(m.__file__)')
foreign=$(ldd "$module" | awk '{ print $1, $3 }' | grep -Ev "$system" | grep -Fv "$environment" || true)
if [ -n "$foreign" ]; then
  echo "libraries from outside the wheel: $foreign" >&2
  exit 1
fi
bin/python "$here/document_runner.py" "$root"/docs/guide/*.md "$root/README.md"
bin/vicinal --version >/dev/null
echo "the wheel ($((size / 1024)) KiB) runs with nothing but numpy"
