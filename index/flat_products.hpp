#pragma once

#include <span>

#include "vicinal/core/control.hpp"
#include "vicinal/core/function_ref.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// |x|^2 of every f32 record.
Array<float> squared_norms(const CodeStore& codes);

/// Exact search over f32 records through blocked matrix products (BLAS). The products only pick candidates: everything within
/// their rounding error of the k-th best is kept and scored by the kernels, so that results are bit for bit those of a scan.
void search_by_products(const CodeStore& codes, std::span<const float> norms, const VectorBatch& queries,
                        const NeighborsView& out, const SearchControl& control,
                        FunctionRef<void(const SearchStats&)> add_work);

}  // namespace vicinal
