#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "vicinal/encode/fde.hpp"
#include "vicinal/encode/token_head.hpp"

namespace vicinal {

/// What makes one vector of the many of a document or a query: an FdeEncoder or a TokenHead, whose comments say what their functions do.
/// Immutable, thread-safe; copies share the tables.
class DocumentEncoder {
 public:
  DocumentEncoder() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): it is one
  DocumentEncoder(FdeEncoder encoder) : any_(std::move(encoder)) {}
  // NOLINTNEXTLINE(google-explicit-constructor): it is one
  DocumentEncoder(TokenHead encoder) : any_(std::move(encoder)) {}

  [[nodiscard]] std::string_view name() const { return get_if<FdeEncoder>() != nullptr ? "muvera" : "head"; }
  /// nullptr when it is the other.
  template <class Encoder>
  [[nodiscard]] const Encoder* get_if() const {
    return std::get_if<Encoder>(&any_);
  }

  [[nodiscard]] std::size_t token_dim() const {
    return std::visit([](const auto& one) { return one.token_dim(); }, any_);
  }
  [[nodiscard]] std::size_t out_dim() const {
    return std::visit([](const auto& one) { return one.out_dim(); }, any_);
  }
  [[nodiscard]] std::size_t memory_bytes() const {
    return std::visit([](const auto& one) { return one.memory_bytes(); }, any_);
  }
  [[nodiscard]] std::uint64_t fingerprint() const {
    return std::visit([](const auto& one) { return one.fingerprint(); }, any_);
  }
  void encode_queries(const VectorBatch& queries, MatrixView<float> out, ExecutorRef executor = {}) const {
    std::visit([&](const auto& one) { one.encode_queries(queries, out, executor); }, any_);
  }
  void encode_documents(const VectorBatch& documents, MatrixView<float> out,
                        const BuildControl& control = {}) const {
    std::visit([&](const auto& one) { one.encode_documents(documents, out, control); }, any_);
  }
  void save(ContainerWriter& writer, const std::string& prefix) const {
    std::visit([&](const auto& one) { one.save(writer, prefix); }, any_);
  }

 private:
  std::variant<FdeEncoder, TokenHead> any_;
};

}  // namespace vicinal
