#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vicinal/core/neighbors.hpp"

namespace vicinal::tools {

/// What people judged: the relevant rows of every query and how relevant they are.
class Judgements {
 public:
  using Graded = std::pair<Id, double>;  ///< row, relevance >= 0

  explicit Judgements(std::size_t queries = 0) : of_query_(queries) {}
  /// From text: one judgement a line, `query-id doc-id relevance` (BEIR) or `query-id 0 doc-id relevance` (TREC, its second column
  /// is not read), separated by blanks or tabs, the same form throughout; ids are row numbers. A first line without any number is a
  /// header; empty lines are skipped. Throws InvalidArgument naming `source`, the line, what was got and what was expected: another
  /// number of columns, an id that is no row, a relevance that is no number of at least 0, a pair judged twice, no judgement at all.
  static Judgements parse(std::string_view text, const std::string& source, std::size_t queries,
                          std::size_t rows);
  /// Throws IoError as well.
  static Judgements read(const std::filesystem::path& path, std::size_t queries, std::size_t rows);

  [[nodiscard]] std::size_t queries() const { return of_query_.size(); }
  [[nodiscard]] std::size_t count() const { return count_; }
  /// Queries with something relevant; the others have no nDCG.
  [[nodiscard]] std::size_t judged_queries() const;
  [[nodiscard]] bool judged(std::size_t query) const { return ideal_gain(query, 1) > 0; }

  /// nDCG@k of one query's answer, best first (Jarvelin & Kekalainen 2002, gain = relevance, discount log2(1 + rank), as trec_eval):
  /// rows nobody judged and no_id gain nothing. 0 when nothing is relevant.
  [[nodiscard]] double ndcg(std::size_t query, std::span<const Id> found, std::size_t k) const;
  /// Throws InvalidArgument when the pair is there already.
  void add(std::size_t query, Id row, double relevance);

 private:
  [[nodiscard]] double ideal_gain(std::size_t query, std::size_t k) const;

  std::vector<std::vector<Graded>> of_query_;  // ascending rows
  std::size_t count_ = 0;
};

}  // namespace vicinal::tools
