// Codes, factors and distances have the same bits whatever instruction set a process chose (docs/numerics.md).
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "vicinal/quant/kernels.hpp"

namespace vicinal {
namespace {

struct Digest {
  std::string kernels;  // the first line
  std::string hashes;   // the others
};

// Runs codec_digest under VICINAL_SIMD=<cap>.
Digest digest_under(const std::string& cap, const std::string& argument = "") {
  const std::string command = "VICINAL_SIMD='" + cap + "' '" VICINAL_CODEC_DIGEST "' " + argument;
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::string output;
  std::array<char, 4096> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe))
    output.append(buffer.data(), got);
  const int status = ::pclose(pipe);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error(command + " failed");
  const std::size_t line = output.find('\n');
  return {output.substr(0, line), output.substr(line + 1)};
}

TEST(InstructionSets, GiveTheSameBits) {
  const Digest reference = digest_under("scalar");
  EXPECT_EQ(reference.kernels, "scalar");
  EXPECT_EQ(std::count(reference.hashes.begin(), reference.hashes.end(), '\n'), 54 * 7 + 12 * 4)
      << "codecs x dimensions";
  for (const Kernels& set : available_kernels()) {
    const Digest digest = digest_under(std::string(set.name));
    EXPECT_EQ(digest.kernels, set.name) << "the environment variable did not choose";
    EXPECT_EQ(digest.hashes, reference.hashes) << set.name;
  }
}

TEST(InstructionSets, TrainTheSameProjections) {
  const Digest reference = digest_under("scalar", "projections");
  EXPECT_EQ(std::count(reference.hashes.begin(), reference.hashes.end(), '\n'), 2 * 4 + 3 * 4 * 4)
      << "dimensions x clusters, metrics x dimensions x projections";
  for (const Kernels& set : available_kernels())
    EXPECT_EQ(digest_under(std::string(set.name), "projections").hashes, reference.hashes) << set.name;
}

TEST(InstructionSets, AddUpTheSameLevels) {
  const Digest reference = digest_under("scalar", "levels");
  EXPECT_EQ(std::count(reference.hashes.begin(), reference.hashes.end(), '\n'), 3 * 4 * 4 * 2)
      << "metrics x first levels x dimensions x second levels";
  for (const Kernels& set : available_kernels())
    EXPECT_EQ(digest_under(std::string(set.name), "levels").hashes, reference.hashes) << set.name;
}

TEST(InstructionSets, AreTheBestWhenTheVariableNamesNone) {
  const std::string best(available_kernels().back().name);
  EXPECT_EQ(digest_under("").kernels, best);
  EXPECT_EQ(digest_under("no-such-set").kernels, best);
}

}  // namespace
}  // namespace vicinal
