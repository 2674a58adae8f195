#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "vicinal/index/any_retriever.hpp"
#include "sample_data.hpp"

/// One way to make a retriever over a base, for the tests that every retriever must pass.
struct RetrieverCase {
  std::string name;
  std::function<vicinal::AnyRetriever(const Rows& base, vicinal::Metric metric)> make;
  double least_recall = 0.95;  ///< recall@10 at the default parameters
  double tolerance = 1e-5;     ///< of reported distances, relative to the largest in the answer
  bool obeys_budget = true;
  bool own_ids = false;  ///< row i has the id case_id(i), else i
  std::vector<vicinal::Metric> metrics{vicinal::Metric::l2, vicinal::Metric::ip, vicinal::Metric::cosine};

  friend std::ostream& operator<<(std::ostream& out, const RetrieverCase& c) { return out << c.name; }
};

/// Ids that neither ascend with the rows nor are dense.
inline vicinal::Id case_id(std::size_t row) { return static_cast<vicinal::Id>((row * 7919 + 13) % 10'007); }

/// The library's own, and those of the FAISS adapter (none when it is not built).
std::vector<RetrieverCase> own_retriever_cases();
std::vector<RetrieverCase> faiss_retriever_cases();
