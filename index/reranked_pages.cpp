#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "vicinal/index/ranking.hpp"
#include "vicinal/index/reranked.hpp"
#include "vicinal/index/reranked_scratch.hpp"

namespace vicinal {

// Candidates come in pages of the inner retriever, as many ahead of what was given as a search for one page looks at.
class Reranked::PagedRerank final : public Pages {
 public:
  PagedRerank(const Reranked& retriever, std::span<const float> query, std::size_t page, const Params& params,
              Filter filter)
      : retriever_(retriever),
        query_(query.begin(), query.end()),
        params_(params),
        filter_(std::move(filter)),
        inner_(retriever.inner_.pages(query, retriever.candidates_for(page, params), params.inner, filter_)) {
  }

  void next(std::size_t count, Page& page, const SearchControl& control) override {
    page.clear();
    if (is_cancelled(control)) return;
    SearchStats work;
    const std::size_t ahead = retriever_.candidates_for(count, params_);
    if (fetched_ < given_ + ahead && !all_) fetch(given_ + ahead - fetched_, control, work);
    if (control.stats != nullptr) {
      control.stats->add_work(work);
      control.stats->strategy = fmt::format("{} > {}", retriever_.description(ahead), work.strategy);
    }
    if (work.stop == StopReason::cancelled) return;
    const std::size_t end = std::min(count, waiting_.size());
    for (std::size_t i = 0; i < end; ++i) {
      page.ids.push_back(waiting_[i].id);
      page.distances.push_back(waiting_[i].distance);
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(end));
    given_ += end;
  }

 private:
  void fetch(std::size_t count, const SearchControl& control, SearchStats& work) {
    SearchControl inner = control;
    inner.stats = &work;
    inner_->next(count, candidates_, inner);
    all_ = work.stop == StopReason::complete && candidates_.size() < count;
    fetched_ += candidates_.size();
    if (candidates_.size() == 0) return;
    Neighbors scored(1, candidates_.size());
    std::unique_ptr<Scratch> scratch = retriever_.scratch_->take();
    scratch->workers.resize(std::max<std::size_t>(1, scratch->workers.size()));
    Scratch::Worker& worker = scratch->workers.front();
    worker.reranked = 0;
    retriever_.rerank(query_, candidates_.ids, scored.view(), 0, filter_, *scratch, 0);
    work.reranked += worker.reranked;
    work.bytes += worker.reranked * retriever_.row_bytes();
    retriever_.scratch_->give_back(std::move(scratch));
    for (std::size_t i = 0; i < scored.counts()[0]; ++i)
      waiting_.push_back({scored.distances()[0][i], scored.ids()[0][i]});
    std::sort(waiting_.begin(), waiting_.end());
  }

  Reranked retriever_;
  std::vector<float> query_;
  Params params_;
  Filter filter_;
  std::unique_ptr<Pages> inner_;
  Page candidates_;
  std::vector<Ranked> waiting_;  // scored on the rows and not given, ascending
  std::size_t fetched_ = 0;
  std::size_t given_ = 0;
  bool all_ = false;  // the inner retriever has no more
};

std::unique_ptr<Pages> Reranked::pages(std::span<const float> query, std::size_t page, const Params& params,
                                       const Filter& filter) const {
  return std::make_unique<PagedRerank>(*this, query, page, params, filter);
}

}  // namespace vicinal
