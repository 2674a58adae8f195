#!/usr/bin/env bash
# public_headers.sh <installed include folder>
# A user of the library needs no header of what it is made with: those are implementation, and heavy.
set -euo pipefail
include=$1

count=$(find "$include/vicinal" -name '*.hpp' | wc -l)
if [ "$count" -lt 20 ]; then
  echo "only $count headers are installed under $include" >&2
  exit 1
fi
if grep -rnE '#[[:space:]]*include[[:space:]]*[<"](hwy|faiss|cblas|lapack|openblas|oneapi|tbb|cereal|fmt|xxhash|roaring|nlohmann|CLI)' \
  "$include/vicinal"; then
  echo "the public headers above include an implementation's header" >&2
  exit 1
fi
