// A projection as sections of a `.vcn` file: docs/format.md.
#include <cstring>
#include <type_traits>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/projection.hpp"

namespace vicinal {
namespace {

// The section "<prefix>/options", little-endian, without padding.
struct ProjectionHeader {
  std::uint64_t in_dim;
  std::uint64_t out_dim;
  std::uint8_t kind;
  std::uint8_t metric;
  std::uint8_t whiten;
  std::uint8_t reserved[5];
};
static_assert(sizeof(ProjectionHeader) == 24 && std::has_unique_object_representations_v<ProjectionHeader>);

}  // namespace

void Projection::save(ContainerWriter& writer, const std::string& prefix) const {
  const ProjectionHeader header{in_dim(),
                                out_dim(),
                                static_cast<std::uint8_t>(options_.kind),
                                static_cast<std::uint8_t>(metric_),
                                options_.whiten,
                                {}};
  writer.add_owned(prefix + "/options", std::string(reinterpret_cast<const char*>(&header), sizeof(header)));
  if (!parts_.mean.empty()) writer.add(prefix + "/mean", parts_.mean.span());
  if (!parts_.documents.empty()) writer.add(prefix + "/documents", parts_.documents.span());
  if (!parts_.queries.empty()) writer.add(prefix + "/queries", parts_.queries.span());
  if (!parts_.spectrum.empty()) writer.add(prefix + "/spectrum", parts_.spectrum.span());
}

Projection Projection::load(const Container& file, const std::string& prefix) {
  const auto refuse = [&](const std::string& reason) {
    return CorruptFile("section " + prefix + "/options: " + reason);
  };
  const std::string_view bytes = file.metadata(prefix + "/options");
  ProjectionHeader header{};
  if (bytes.size() != sizeof(header)) throw refuse("wrong length");
  std::memcpy(&header, bytes.data(), sizeof(header));
  for (const std::uint8_t reserved : header.reserved) {
    if (reserved != 0) throw refuse("reserved bytes are not zero");
  }
  if (header.kind == 0 || header.kind > static_cast<std::uint8_t>(ProjectionKind::query_pca))
    throw refuse("unknown kind");
  if (header.metric > static_cast<std::uint8_t>(Metric::cosine)) throw refuse("unknown metric");
  if (header.whiten > 1) throw refuse("a flag is neither 0 nor 1");
  const ProjectionOptions options{static_cast<ProjectionKind>(header.kind), header.out_dim,
                                  header.whiten == 1};
  const auto metric = static_cast<Metric>(header.metric);
  Parts parts;
  try {
    // Checks the dimensions, so that the sizes below cannot overflow; the arrays are compared with the file's own sizes.
    const Projection shape(options, metric, header.in_dim, {});
    if (shape.has_matrix()) {
      parts.mean = file.array<float>(prefix + "/mean", header.in_dim);
      parts.documents = file.array<float>(prefix + "/documents", header.out_dim * header.in_dim);
      if (options.kind == ProjectionKind::query_pca && metric != Metric::l2)
        parts.queries = file.array<float>(prefix + "/queries", header.out_dim * header.in_dim);
      parts.spectrum = file.array<double>(prefix + "/spectrum", header.in_dim);
    }
    return restore(options, metric, header.in_dim, std::move(parts));
  } catch (const InvalidArgument& error) {
    throw CorruptFile("sections " + prefix + "/: " + error.what());
  }
}

}  // namespace vicinal
