#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vicinal/core/matrix_view.hpp"

namespace vicinal {

/// Ball carving of a query (Dhulipala et al., MUVERA, arXiv:2405.19504): fewer vectors for nearly the same sums of maxima. The first token
/// that no ball has absorbed yet becomes the centre of one and absorbs every later token q' that none has with <centre, q'> >= tau; a row of
/// `out` is the sum of a ball's tokens, in their order. Returns the number of rows written.
///
/// `tokens` (T x dim) should be unit vectors, so that tau is a cosine; that is not checked. tau > 1 leaves every token apart (but for
/// rounding and longer tokens), tau <= -1 makes one row of all. About 0.7 is usual.
///
/// Rows come in descending order of their number of tokens, of equal numbers in the order of their centres. So the rows that can add most
/// to a sum come first, which is what a scorer that ends early wants, and a query that nothing was carved from stays as it was.
/// (By number, not by length: lengths of unit vectors differ by their rounding.)
///
/// `out` has at least T rows of dim columns and must not overlap `tokens`; rows beyond those returned are not touched. `sizes`, if any,
/// has at least T elements and is told how many tokens each row is the sum of. No tokens give no rows. The same bits on every instruction
/// set. O(rows T dim) time. Safe to call from any number of threads.
///
/// Throws InvalidArgument when tau is not finite, for a non-finite value ("query row 3 column 17 is nan"), and for too small an `out` or
/// `sizes`; nothing is written then.
std::size_t carve_query(MatrixView<const float> tokens, float tau, MatrixView<float> out,
                        std::span<std::uint32_t> sizes = {});

}  // namespace vicinal
