#include "vicinal/tools/explore/judgements.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>

#include "vicinal/core/error.hpp"

namespace vicinal::tools {
namespace {

std::vector<std::string_view> words_of(std::string_view line) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  std::vector<std::string_view> words;
  std::size_t at = 0;
  while (at < line.size()) {
    while (at < line.size() && blank(line[at])) ++at;
    const std::size_t begin = at;
    while (at < line.size() && !blank(line[at])) ++at;
    if (at > begin) words.push_back(line.substr(begin, at - begin));
  }
  return words;
}

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool has_number(const std::vector<std::string_view>& words) {
  return std::any_of(words.begin(), words.end(), [](auto word) { return number<double>(word).has_value(); });
}

std::size_t row_number(std::string_view text, std::string_view noun, std::size_t rows) {
  const auto value = number<std::size_t>(text);
  if (!value || *value >= rows) {
    throw InvalidArgument(
        fmt::format("{} is \"{}\", expected a row number from 0 to {}", noun, text, rows - 1));
  }
  return *value;
}

double relevance_of(std::string_view text) {
  const auto value = number<double>(text);
  if (!value || !std::isfinite(*value) || *value < 0)
    throw InvalidArgument(fmt::format("the relevance is \"{}\", expected a number of at least 0", text));
  return *value;
}

double discounted(double gain, std::size_t place) { return gain / std::log2(static_cast<double>(place) + 2); }

}  // namespace

void Judgements::add(std::size_t query, Id row, double relevance) {
  auto& rows = of_query_.at(query);
  const auto place = std::lower_bound(rows.begin(), rows.end(), row,
                                      [](const Graded& graded, Id wanted) { return graded.first < wanted; });
  if (place != rows.end() && place->first == row)
    throw InvalidArgument(fmt::format("row {} is judged twice for query {}", row, query));
  rows.insert(place, {row, relevance});
  ++count_;
}

Judgements Judgements::parse(std::string_view text, const std::string& source, std::size_t queries,
                             std::size_t rows) {
  if (queries == 0 || rows == 0) throw InvalidArgument("there is nothing that could be judged");
  Judgements judgements(queries);
  std::size_t line_number = 0, columns = 0;
  bool first = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const auto words = words_of(text.substr(at, end - at));
    at = end + 1;
    ++line_number;
    if (words.empty()) continue;
    if (std::exchange(first, false) && !has_number(words)) continue;
    try {
      if (words.size() != 3 && words.size() != 4)
        throw InvalidArgument(fmt::format("{} columns, expected query-id doc-id relevance", words.size()));
      if (columns != 0 && words.size() != columns)
        throw InvalidArgument(fmt::format("{} columns, the lines above have {}", words.size(), columns));
      columns = words.size();
      const std::size_t query = row_number(words[0], "the query-id", queries);
      const std::size_t row = row_number(words[columns - 2], "the doc-id", rows);
      judgements.add(query, static_cast<Id>(row), relevance_of(words[columns - 1]));
    } catch (const InvalidArgument& error) {
      throw InvalidArgument(fmt::format("{} line {}: {}", source, line_number, error.what()));
    }
  }
  if (judgements.judged_queries() == 0)
    throw InvalidArgument(
        fmt::format("{} judges nothing relevant, expected at least one relevance above 0", source));
  return judgements;
}

Judgements Judgements::read(const std::filesystem::path& path, std::size_t queries, std::size_t rows) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) throw_io_error("cannot read", path.string());
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw_io_error("cannot read", path.string());
  return parse(text, path.string(), queries, rows);
}

std::size_t Judgements::judged_queries() const {
  std::size_t judged_ones = 0;
  for (std::size_t query = 0; query < queries(); ++query) judged_ones += judged(query) ? 1 : 0;
  return judged_ones;
}

double Judgements::ideal_gain(std::size_t query, std::size_t k) const {
  std::vector<double> gains;
  for (const auto& [row, relevance] : of_query_.at(query)) gains.push_back(relevance);
  std::sort(gains.begin(), gains.end(), std::greater<>());
  double sum = 0;
  for (std::size_t i = 0; i < std::min(k, gains.size()); ++i) sum += discounted(gains[i], i);
  return sum;
}

double Judgements::ndcg(std::size_t query, std::span<const Id> found, std::size_t k) const {
  const auto& rows = of_query_.at(query);
  double sum = 0;
  for (std::size_t i = 0; i < std::min(k, found.size()); ++i) {
    const auto place = std::lower_bound(rows.begin(), rows.end(), found[i],
                                        [](const Graded& graded, Id row) { return graded.first < row; });
    if (place != rows.end() && place->first == found[i]) sum += discounted(place->second, i);
  }
  const double ideal = ideal_gain(query, k);
  return ideal > 0 ? sum / ideal : 0;
}

}  // namespace vicinal::tools
