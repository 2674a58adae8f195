// MaxSim on tokens in lanes: every instruction set against records scored one by one, bit by bit.
#include "vicinal/encode/maxsim_lanes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "vicinal/core/container.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {
namespace {

struct Task {
  CodecKind kind;
  std::size_t dim;
};

std::vector<float> random_rows(std::size_t rows, std::size_t dim, std::uint64_t stream) {
  RandomStream random(11, stream);
  std::vector<float> values(rows * dim);
  for (float& v : values) v = static_cast<float>(random.next_unit() * 2 - 0.7);
  return values;
}

// Query vectors as LaneQueries has them, laid out here from what the codec says of them.
struct Queries {
  Queries(const Codec& codec, MatrixView<const float> rows) : steps(codec.lane_steps()), count(rows.rows()) {
    width = codec.kind() == CodecKind::i8 ? 4 : 8;
    prepared.resize(count);
    floats.resize(steps * count);
    bytes.resize(steps * count * width);
    words.resize(steps * count * 4);
    for (std::size_t q = 0; q < count; ++q) {
      codec.prepare_query(rows[q], prepared[q]);
      terms.push_back(codec.lane_terms(prepared[q]));
      if (!is_integer(codec.kind())) {
        for (std::size_t j = 0; j < steps; ++j) floats[j * count + q] = codec.lane_floats(prepared[q])[j];
        continue;
      }
      std::vector<std::int8_t> codes(steps * width);
      codec.lane_codes(prepared[q], codes);
      for (std::size_t j = 0; j < codes.size(); ++j)
        bytes[(j / width * count + q) * width + j % width] = codes[j];
      constexpr std::size_t order[] = {0, 2, 1, 3};
      for (std::size_t j = 0; width == 4 && j < codes.size(); ++j)
        words[(j / 4 * count + q) * 4 + order[j % 4]] = codes[j];
    }
  }
  [[nodiscard]] LaneQueries view(std::size_t some) const {
    return {some, count, steps, floats.data(), bytes.data(), words.data(), terms.data()};
  }

  std::size_t steps;
  std::size_t count;
  std::size_t width;
  std::vector<PreparedQuery> prepared;
  std::vector<float> floats;
  std::vector<std::int8_t> bytes;
  std::vector<std::int16_t> words;
  std::vector<ByteQuery> terms;
};

LaneKernels::Nearest kernel_of(const LaneKernels& set, CodecKind kind) {
  return kind == CodecKind::f32   ? set.f32
         : kind == CodecKind::f16 ? set.f16
         : kind == CodecKind::i8  ? set.i8
                                  : set.i4;
}

// What the distances are by definition.
std::vector<float> distances_of(const CodeStore& rows, const PreparedQuery& query) {
  std::vector<float> distances(rows.size());
  if (is_integer(rows.codec().kind())) {
    rows.score(query, nullptr, rows.size(), distances.data());
    return distances;
  }
  const std::span<const float> values = rows.codec().lane_floats(query);
  std::vector<float> token(rows.dim());
  for (std::size_t t = 0; t < rows.size(); ++t) {
    rows.decode(t, token);
    float dot = 0;
    for (std::size_t j = 0; j < token.size(); ++j) dot = std::fma(values[j], token[j], dot);
    distances[t] = rows.codec().lane_terms(query).constant - dot;
  }
  return distances;
}

class Lanes : public testing::TestWithParam<Task> {};

TEST_P(Lanes, EverySetGivesTheBitsOfRecordsOneByOne) {
  const auto [kind, dim] = GetParam();
  constexpr std::size_t tokens = 16 + 70;  // Of the last group not all are there.
  std::vector<float> values = random_rows(tokens, dim, dim);
  std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(3 * dim), dim, 0.0F);
  CodecOptions options;
  options.kind = kind;
  const MatrixView<const float> documents(values.data(), tokens, dim);
  const CodeStore rows = CodeStore::build(Codec::train(options, Metric::ip, documents), documents, {});
  const CodeStore lanes = rows.in_lanes();
  ASSERT_TRUE(lanes.has_lanes());
  const std::vector<float> query_values = random_rows(40, dim, dim + 1000);
  const Queries queries(rows.codec(), {query_values.data(), 40, dim});
  std::vector<std::vector<float>> expected;
  for (const PreparedQuery& query : queries.prepared) expected.push_back(distances_of(rows, query));

  const LaneTokens all{lanes.records(), lanes.factors(), lanes.size()};
  for (const LaneKernels& set : available_lane_kernels()) {
    const LaneKernels::Nearest nearest = kernel_of(set, kind);
    std::vector<float> got(41);
    const auto check = [&](std::size_t some, std::size_t begin, std::size_t end) {
      got[some] = 7.0F;
      nearest(queries.view(some), all, begin, end, got.data());
      for (std::size_t q = 0; q < some; ++q) {
        const auto at = expected[q].begin();
        const float least =
            *std::min_element(at + static_cast<std::ptrdiff_t>(begin), at + static_cast<std::ptrdiff_t>(end));
        if (std::bit_cast<std::uint32_t>(got[q]) == std::bit_cast<std::uint32_t>(least)) continue;
        ADD_FAILURE() << set.name << ": " << q << " of " << some << " vectors, tokens " << begin << " to "
                      << end << ": " << got[q] << ", expected " << least;
        return false;
      }
      EXPECT_EQ(got[some], 7.0F) << set.name << " writes beyond its " << some << " results";
      return true;
    };
    for (std::size_t first = 0; first < 16; ++first) {
      for (std::size_t count = 1; count <= 70; ++count) {
        if (!check(5 + (first + count) % 3, first, first + count)) return;
      }
    }
    for (std::size_t some = 1; some <= 40; ++some) {
      if (!check(some, 5, 61) || !check(some, 80, tokens)) return;
    }
    // The last vectors by themselves.
    nearest(queries.view(40).only(33, queries.width), all, 2, 9, got.data());
    EXPECT_EQ(got[0], *std::min_element(expected[33].begin() + 2, expected[33].begin() + 9)) << set.name;
  }
}

TEST_P(Lanes, RecordsComeBack) {
  const auto [kind, dim] = GetParam();
  CodecOptions options;
  options.kind = kind;
  const std::vector<float> values = random_rows(37, dim, 3);
  const MatrixView<const float> documents(values.data(), 37, dim);
  const CodeStore rows = CodeStore::build(Codec::train(options, Metric::ip, documents), documents, {});
  const CodeStore lanes = rows.in_lanes();
  std::vector<float> one(dim);
  std::vector<float> other(dim);
  for (std::size_t t = 0; t < rows.size(); ++t) {
    rows.decode(t, one);
    lanes.decode(t, other);
    EXPECT_EQ(one, other) << t;
  }
}

std::vector<Task> all_tasks() {
  std::vector<Task> tasks;
  for (const CodecKind kind : {CodecKind::f32, CodecKind::f16, CodecKind::i8, CodecKind::i4}) {
    for (const std::size_t dim : {1U, 3U, 20U, 30U, 64U, 100U, 128U, 131U, 200U})
      tasks.push_back({kind, dim});
  }
  return tasks;
}
INSTANTIATE_TEST_SUITE_P(Codecs, Lanes, testing::ValuesIn(all_tasks()), [](const auto& task) {
  return std::string(to_string(task.param.kind)) + "_" + std::to_string(task.param.dim);
});

std::string refusal_to_load(const std::filesystem::path& path, bool lanes_allowed) {
  try {
    (void)CodeStore::load(Container::open(path, OpenMode::load), "x", lanes_allowed);
  } catch (const CorruptFile& error) {
    return error.what();
  }
  return "nothing was refused";
}

// Files in lanes are for those who ask, records one after the other become lanes.
TEST_P(Lanes, Files) {
  const auto [kind, dim] = GetParam();
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("vicinal_lanes_" + std::string(to_string(kind)) + "_" + std::to_string(dim));
  CodecOptions options;
  options.kind = kind;
  const std::vector<float> values = random_rows(21, dim, 4);
  const MatrixView<const float> documents(values.data(), 21, dim);
  const CodeStore rows = CodeStore::build(Codec::train(options, Metric::ip, documents), documents, {});
  const CodeStore lanes = rows.in_lanes();
  const auto bytes = [](const CodeStore& store) {
    return std::vector<std::byte>(store.records(), store.records() + 2 * store.codec().lane_group_bytes());
  };
  {
    ContainerWriter writer;
    rows.save(writer, "x");
    writer.write(path);
    const CodeStore loaded = CodeStore::load(Container::open(path, OpenMode::load), "x", true);
    EXPECT_FALSE(loaded.has_lanes());
    EXPECT_EQ(bytes(loaded.in_lanes()), bytes(lanes));
  }
  ContainerWriter writer;
  lanes.save(writer, "x");
  writer.write(path);
  const CodeStore loaded = CodeStore::load(Container::open(path, OpenMode::load), "x", true);
  EXPECT_TRUE(loaded.has_lanes());
  EXPECT_EQ(bytes(loaded), bytes(lanes));
  EXPECT_EQ(refusal_to_load(path, false), "section x/codec: unknown layout");
  std::filesystem::remove(path);
}

// The largest codes against the largest values, which pairs of bytes added in 16 bits would not hold.
TEST(LaneKernelSets, LargestSumsDoNotSaturate) {
  constexpr std::size_t steps = 33;
  for (const bool bytes : {true, false}) {
    const std::vector<std::byte> unaligned(steps * 64 + 64, std::byte{255});
    const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(unaligned.data()) % 64;
    const std::byte* const group = unaligned.data() + (64 - misaligned) % 64;
    const std::vector<float> factors(32, 1.0F);
    for (const int value : {127, -127}) {
      const std::vector<std::int8_t> codes(steps * 8, static_cast<std::int8_t>(value));
      const std::vector<std::int16_t> words(steps * 4, static_cast<std::int16_t>(value));
      const ByteQuery terms{nullptr, 0, 1.0F, 0.0F, 0.0F};
      const LaneQueries query{1, 1, steps, nullptr, codes.data(), words.data(), &terms};
      const int sum = bytes ? value * 255 * 4 * int{steps} : value * 15 * 8 * 2 * int{steps};
      for (const LaneKernels& set : available_lane_kernels()) {
        float nearest = 0;
        (bytes ? set.i8 : set.i4)(query, {group, factors.data(), 16}, 0, 16, &nearest);
        EXPECT_EQ(nearest, static_cast<float>(sum)) << set.name << " " << bytes;
      }
    }
  }
}

}  // namespace
}  // namespace vicinal
