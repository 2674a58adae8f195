#!/usr/bin/env bash
# install_tree.sh <cmake> <build tree> <source tree> <target>
# Installs to one place and moves the result to another: what is tested afterwards is a tree that was relocated.
set -euo pipefail
cmake=$1 build=$2 source=$3 target=$4

first="$target.first"
rm -rf "$first" "$target"
"$cmake" --install "$build" --prefix "$first" >/dev/null
if grep -rIlE --include='*.cmake' --include='*.pc' --include='*.hpp' -e "$first" -e "$build" -e "$source/" "$first"; then
  echo "the files above name a folder of the machine that built them" >&2
  exit 1
fi
mv "$first" "$target"
