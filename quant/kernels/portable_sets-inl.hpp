#pragma once

// Lists the sets that Highway compiled a table for and this CPU runs. Include it where HWY_ONCE holds, after the tables.

#define VICINAL_APPEND_SET(found, target, made) \
  if ((hwy::SupportedTargets() & (target)) != 0) (found).push_back(made);

#if HWY_TARGETS & HWY_NEON
#define VICINAL_APPEND_NEON(found, table) VICINAL_APPEND_SET(found, HWY_NEON, N_NEON::table("neon"))
#else
#define VICINAL_APPEND_NEON(found, table)
#endif
#if HWY_TARGETS & HWY_SSE4
#define VICINAL_APPEND_SSE4(found, table) VICINAL_APPEND_SET(found, HWY_SSE4, N_SSE4::table("sse4"))
#else
#define VICINAL_APPEND_SSE4(found, table)
#endif
#if HWY_TARGETS & HWY_AVX2
#define VICINAL_APPEND_AVX2(found, table) VICINAL_APPEND_SET(found, HWY_AVX2, N_AVX2::table("avx2"))
#else
#define VICINAL_APPEND_AVX2(found, table)
#endif
#if HWY_TARGETS & HWY_AVX3
#define VICINAL_APPEND_AVX3(found, table) VICINAL_APPEND_SET(found, HWY_AVX3, N_AVX3::table("avx3"))
#else
#define VICINAL_APPEND_AVX3(found, table)
#endif

/// Appends table(name) of every set to `found`, plainest first.
#define VICINAL_APPEND_SETS(found, table) \
  VICINAL_APPEND_NEON(found, table)       \
  VICINAL_APPEND_SSE4(found, table)       \
  VICINAL_APPEND_AVX2(found, table)       \
  VICINAL_APPEND_AVX3(found, table)
