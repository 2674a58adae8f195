#include "vicinal/index/graph.hpp"

#include <algorithm>
#include <cstring>

namespace vicinal {
namespace {

constexpr std::size_t most_levels = 32;
constexpr std::size_t most_degree = 1024;

[[noreturn]] void throw_corrupt(const std::string& section, const std::string& reason) {
  throw CorruptFile("section " + section + ": " + reason);
}

// Neighbours come first, are nodes of the level, are not the node itself and do not repeat.
void check_lists(const Graph::Level& level, const std::string& section) {
  std::vector<std::uint32_t> last_seen(level.size, Graph::no_slot);
  for (std::size_t slot = 0; slot < level.size; ++slot) {
    const std::uint32_t* list = level.list(slot);
    bool ended = false;
    for (std::size_t i = 0; i < level.degree; ++i) {
      if (list[i] == Graph::no_slot) {
        ended = true;
        continue;
      }
      if (ended) throw_corrupt(section, "a neighbour follows the end of its list");
      if (list[i] >= level.size) throw_corrupt(section, "a neighbour is out of range");
      if (list[i] == slot) throw_corrupt(section, "a node is its own neighbour");
      if (last_seen[list[i]] == slot) throw_corrupt(section, "a neighbour is listed twice");
      last_seen[list[i]] = static_cast<std::uint32_t>(slot);
    }
  }
}

}  // namespace

std::size_t Graph::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Level& level : levels_) bytes += level.is_view() ? 0 : level.links.bytes();
  return bytes;
}

void Graph::save(ContainerWriter& writer, const std::string& prefix) const {
  std::string shape;
  for (const Level& level : levels_) {
    for (const std::uint64_t value : {std::uint64_t{level.size}, std::uint64_t{level.degree}}) {
      char bytes[sizeof(value)];
      std::memcpy(bytes, &value, sizeof(value));
      shape.append(bytes, sizeof(value));
    }
  }
  writer.add_owned(prefix + "/levels", shape);
  for (std::size_t l = 0; l < levels_.size(); ++l) {
    if (!levels_[l].is_view()) writer.add(prefix + "/links." + std::to_string(l), levels_[l].links.span());
  }
}

Graph Graph::load(const Container& file, const std::string& prefix, std::size_t size, const Level* base) {
  const std::string section = prefix + "/levels";
  const std::string_view shape = file.metadata(section);
  constexpr std::size_t entry = 2 * sizeof(std::uint64_t);
  if (shape.empty() || shape.size() % entry != 0 || shape.size() / entry > most_levels)
    throw_corrupt(section, "wrong length");
  std::vector<Level> levels(shape.size() / entry);
  for (std::size_t l = 0; l < levels.size(); ++l) {
    std::uint64_t values[2];
    std::memcpy(values, shape.data() + l * entry, entry);
    if (values[1] == 0 || values[1] > most_degree)
      throw_corrupt(section, "degree is not in 1 to " + std::to_string(most_degree));
    const std::uint64_t above = l == 0 ? size : levels[l - 1].size;
    if (values[0] == 0 || (l == 0 ? values[0] != size : values[0] >= above))
      throw_corrupt(section, "level sizes do not descend");
    if (values[0] > file.file_bytes() / (values[1] * sizeof(std::uint32_t)))
      throw_corrupt(section, "is beyond what the file can hold");
    const std::string links = prefix + "/links." + std::to_string(l);
    if (l == 0 && base != nullptr) {
      if (values[1] != base->degree) throw_corrupt(section, "degree is another than that of the rows");
      levels[l] = *base;
    } else {
      levels[l] = Level(values[0], values[1], file.array<std::uint32_t>(links, values[0] * values[1]));
    }
    check_lists(levels[l], links);
  }
  Graph graph(std::move(levels));
  if (const std::size_t lost = audit(graph).unreachable; lost != 0) {
    throw_corrupt(prefix + "/links.0", std::to_string(lost) + " nodes cannot be reached");
  }
  return graph;
}

GraphAudit audit(const Graph& graph) {
  GraphAudit result;
  if (graph.size() == 0) return result;
  const Graph::Level& base = graph.level(0);
  std::vector<std::uint32_t> in_degree(base.size, 0);
  std::vector<std::uint8_t> reached(base.size, 0);
  std::vector<std::uint32_t> frontier{0};
  reached[0] = 1;
  result.min_out_degree = base.degree;
  for (std::size_t slot = 0; slot < base.size; ++slot) {
    const std::uint32_t* list = base.list(slot);
    std::size_t out = 0;
    for (; out < base.degree && list[out] != Graph::no_slot; ++out) ++in_degree[list[out]];
    result.edges += out;
    result.min_out_degree = std::min(result.min_out_degree, out);
    result.max_out_degree = std::max(result.max_out_degree, out);
  }
  std::size_t count = 1;
  while (!frontier.empty()) {
    const std::uint32_t slot = frontier.back();
    frontier.pop_back();
    const std::uint32_t* list = base.list(slot);
    for (std::size_t i = 0; i < base.degree && list[i] != Graph::no_slot; ++i) {
      if (reached[list[i]] != 0) continue;
      reached[list[i]] = 1;
      ++count;
      frontier.push_back(list[i]);
    }
  }
  result.unreachable = base.size - count;
  const auto [least, most] = std::minmax_element(in_degree.begin(), in_degree.end());
  result.min_in_degree = *least;
  result.max_in_degree = *most;
  return result;
}

}  // namespace vicinal
