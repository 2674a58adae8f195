#pragma once

#include "vicinal/core/control.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/encode/token_store.hpp"

/// Not installed.
namespace vicinal {

/// Compares every document that passes the filter: the nearest out.k() of each query. `queries` are checked, and none is without vectors. With a
/// carve other than 0 vectors of a query are added up where carve_query() says so, for cosine as unit vectors, and distances are estimates.
/// A budget of distances is one of pairs of vectors. Adds its work to control.stats, but for strategy.
void scan_documents(const TokenStore& documents, double carve, const VectorBatch& queries, NeighborsView out,
                    const SearchControl& control);

}  // namespace vicinal
