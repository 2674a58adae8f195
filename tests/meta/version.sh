#!/usr/bin/env bash
# version.sh <version of the CMake project> <source tree> <the vicinal command>
# The version stands in CMakeLists.txt; the changelog and the command must say the same.
set -euo pipefail
version=$1 source=$2 command=$3

changelog=$(sed -nE 's/^## \[([0-9]+\.[0-9]+\.[0-9]+)\].*/\1/p' "$source/CHANGELOG.md" | head -n 1)
if [ "$changelog" != "$version" ]; then
  echo "CHANGELOG.md begins with version '$changelog', CMakeLists.txt says $version" >&2
  exit 1
fi
said=$("$command" --version)
if ! grep -qE "(^|[^0-9.])${version//./\\.}([^0-9.]|$)" <<<"$said"; then
  echo "vicinal --version says '$said', CMakeLists.txt says $version" >&2
  exit 1
fi
