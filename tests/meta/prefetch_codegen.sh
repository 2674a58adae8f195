#!/usr/bin/env bash
# prefetch_codegen.sh <objdump> <libvicinal_index.a> <libvicinal_quant.a>
#
# GCC 12 is known to throw away all but the first prefetch of a loop over cache lines, silently, and the search is a quarter slower
# (core/prefetch.hpp). No functional test can see it, so this one looks at the object code: where the search and the kernels
# prefetch records, there must be a small loop that prefetches, steps 64 bytes on and jumps back.
set -euo pipefail
objdump=$1 index=$2 quant=$3

# Prints "<number of such loops> <function>" for every function of an archive.
loops_by_function() {
  "$objdump" --disassemble --demangle --no-show-raw-insn "$1" | awk '
    function report() { if (name != "") print loops, name }
    /^[0-9a-f]+ <.*>:$/ { report(); name = $0; sub(/^[0-9a-f]+ </, "", name); sub(/>:$/, "", name); loops = 0; since = 99 }
    /^ *[0-9a-f]+:\t/ {
      address = $1; sub(/:/, "", address)
      if ($2 ~ /^prefetch/) { at = address; since = 0; steps = 0 } else ++since
      if (since <= 4 && /\$0x40,|\$0xffffffffffffffc0,/) steps = 1
      if (since <= 4 && steps && $2 ~ /^j/ && $3 == at) { ++loops; since = 99 }
    }
    END { report() }'
}

failed=0
# expect <archive's functions> <at least so many loops> <regular expression>: holds for every function of that name.
expect() {
  local matching
  matching=$(grep -E "^[0-9]+ .*$3" <<<"$1" | grep -v '\[clone' || true)
  if [ -z "$matching" ]; then
    echo "no function matches '$3'; was it renamed or inlined away?" >&2
    failed=1
  fi
  while read -r loops name; do
    if [ -n "$name" ] && [ "$loops" -lt "$2" ]; then
      echo "$name: $loops loops that prefetch line by line, expected at least $2" >&2
      failed=1
    fi
  done <<<"$matching"
}

of_index=$(loops_by_function "$index")
of_quant=$(loops_by_function "$quant")
expect "$of_index" 2 'vicinal::best_first<vicinal::Scorer>\('      # the next records, and the next list of neighbours
expect "$of_index" 2 'vicinal::best_first<vicinal::SpaceScorer>\('
expect "$of_index" 2 'vicinal::RowWalk::ask_for_next'  # record and row
expect "$of_index" 1 'vicinal::greedy_descent<vicinal::Scorer>\('
expect "$of_quant" 1 'vicinal::N_[A-Z0-9_]+::score_floats<'
expect "$of_quant" 1 'vicinal::N_[A-Z0-9_]+::score_integers<'
expect "$of_quant" 1 'vicinal::N_[A-Z0-9_]+::score_whole<'
expect "$of_quant" 1 'vicinal::\(anonymous namespace\)::score_whole_vbmi<'
expect "$of_quant" 1 'vicinal::\(anonymous namespace\)::score<0ul, .*Form\)[0-9], [a-z]+>\('  # any dimension; those for one dimension are unrolled
exit $failed
