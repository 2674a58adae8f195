#!/usr/bin/env bash
# build_and_run.sh <installed tree> <compiler> <main.cpp> <work folder> <version>
set -euo pipefail
tree=$1 compiler=$2 main=$3 work=$4 version=$5

mkdir -p "$work"
pc=$(find "$tree" -name vicinal.pc)
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$pc")
found=$(pkg-config --modversion vicinal)
if [ "$found" != "$version" ]; then
  echo "pkg-config says version $found, expected $version" >&2
  exit 1
fi
read -ra flags <<<"$(pkg-config --cflags --libs vicinal)"
"$compiler" -std=c++20 "$main" "${flags[@]}" -o "$work/consumer"
"$work/consumer"
