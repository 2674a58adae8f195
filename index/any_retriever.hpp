#pragma once

#include <any>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/index/pages.hpp"
#include "vicinal/index/retriever.hpp"

namespace vicinal {

/// How one search is to be done: by the portable knob, or by the retriever's own Params.
struct SearchOptions {
  std::size_t effort = 0;  ///< 0: the retriever's defaults
  std::any params;         ///< holds R::Params of the retriever searched, and then effort must be 0
};

/// Any Retriever as a value. Copies share the immutable model; safe to search from many threads.
class AnyRetriever {
 public:
  AnyRetriever() = default;
  template <Retriever R>
  requires(!std::same_as<R, AnyRetriever>)
      AnyRetriever(R retriever)  // NOLINT(google-explicit-constructor): a retriever is an AnyRetriever
      : self_(std::make_shared<const Model<R>>(std::move(retriever))) {}

  /// An empty one has size 0, dimension 0, metric l2 and kind "", and every search throws InvalidArgument.
  [[nodiscard]] bool has_value() const { return self_ != nullptr; }
  [[nodiscard]] std::size_t size() const { return has_value() ? self_->size() : 0; }
  [[nodiscard]] std::size_t dim() const { return has_value() ? self_->dim() : 0; }
  [[nodiscard]] Metric metric() const { return has_value() ? self_->metric() : Metric::l2; }
  [[nodiscard]] std::string_view kind() const { return has_value() ? self_->kind() : std::string_view{}; }
  /// Bytes of memory the index occupies in use, without what a search borrows for scratch.
  [[nodiscard]] std::size_t memory_bytes() const { return has_value() ? self_->memory_bytes() : 0; }

  /// Checks the batch once, then makes one virtual call. Clears `out` first. Throws InvalidArgument for a wrong dimension, a
  /// non-finite value (row and column named), k = 0, a shape of `out` that does not fit, params of another retriever, or
  /// queries of several vectors when the retriever does not declare `static constexpr bool takes_multi_vector = true`.
  void search(const VectorBatch& queries, NeighborsView out, const SearchOptions& options = {},
              const SearchControl& control = {}) const;
  [[nodiscard]] Neighbors search(const VectorBatch& queries, std::size_t k, const SearchOptions& options = {},
                                 const SearchControl& control = {}) const;

  /// The results of one query (dim() finite values, copied) in pages of about `page`, without an end known beforehand: by the retriever's own
  /// pages() if it has them, else by RepeatedSearch. What `filter` refers to must outlive the pages. Throws as search() does.
  [[nodiscard]] std::unique_ptr<Pages> pages(std::span<const float> query, std::size_t page,
                                             const SearchOptions& options = {},
                                             const Filter& filter = {}) const;

  /// The way back to the concrete type, nullptr when it is another.
  template <Retriever R>
  [[nodiscard]] const R* get_if() const {
    const auto* model = dynamic_cast<const Model<R>*>(self_.get());
    return model == nullptr ? nullptr : &model->retriever;
  }

 private:
  struct Interface {
    virtual ~Interface() = default;
    [[nodiscard]] virtual std::size_t size() const = 0;
    [[nodiscard]] virtual std::size_t dim() const = 0;
    [[nodiscard]] virtual Metric metric() const = 0;
    [[nodiscard]] virtual std::string_view kind() const = 0;
    [[nodiscard]] virtual std::size_t memory_bytes() const = 0;
    [[nodiscard]] virtual bool takes_multi_vector() const = 0;
    virtual void search(const VectorBatch& queries, NeighborsView out, const SearchOptions& options,
                        const SearchControl& control) const = 0;
    // Null when the retriever has none of its own.
    [[nodiscard]] virtual std::unique_ptr<Pages> pages(std::span<const float> query, std::size_t page,
                                                       const SearchOptions& options,
                                                       const Filter& filter) const = 0;
  };
  template <class R>
  struct Model final : Interface {
    explicit Model(R wrapped) : retriever(std::move(wrapped)) {}
    [[nodiscard]] std::size_t size() const override { return retriever.size(); }
    [[nodiscard]] std::size_t dim() const override { return retriever.dim(); }
    [[nodiscard]] Metric metric() const override { return retriever.metric(); }
    [[nodiscard]] std::string_view kind() const override { return R::kind; }
    [[nodiscard]] std::size_t memory_bytes() const override { return retriever.memory_bytes(); }
    [[nodiscard]] bool takes_multi_vector() const override {
      return requires { requires R::takes_multi_vector; };
    }
    void search(const VectorBatch& queries, NeighborsView out, const SearchOptions& options,
                const SearchControl& control) const override {
      retriever.search(queries, out, params_of(options), control);
    }
    [[nodiscard]] std::unique_ptr<Pages> pages(std::span<const float> query, std::size_t page,
                                               const SearchOptions& options,
                                               const Filter& filter) const override {
      const typename R::Params params = params_of(options);
      if constexpr (requires { retriever.pages(query, page, params, filter); }) {
        return retriever.pages(query, page, params, filter);
      } else {
        return nullptr;
      }
    }
    static typename R::Params params_of(const SearchOptions& options) {
      typename R::Params params{};
      if (options.params.has_value()) {
        const auto* given = std::any_cast<typename R::Params>(&options.params);
        if (given == nullptr || options.effort != 0) throw_wrong_params(R::kind, options);
        params = *given;
      } else if (options.effort != 0) {
        params = R::Params::from_effort(options.effort);
      }
      params.validate();
      return params;
    }
    R retriever;
  };
  [[noreturn]] static void throw_wrong_params(std::string_view kind, const SearchOptions& options);

  std::shared_ptr<const Interface> self_;
};

}  // namespace vicinal
