#!/usr/bin/env bash
# build_consumer.sh <cmake> <project> <work folder> [<-Dvariable=value> ...]: configures, builds and runs it, from nothing.
set -euo pipefail
cmake=$1 project=$2 work=$3
shift 3

rm -rf "$work"
"$cmake" -G Ninja -S "$project" -B "$work" "$@"
"$cmake" --build "$work" --target consumer
"$work/consumer"
