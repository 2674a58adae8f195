// Documents of several vectors that are searched while they change.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "vicinal/encode/live_token_store.hpp"
#include "vicinal/index/live_index.hpp"
#include "../encode/token_data.hpp"

namespace vicinal {
namespace {

constexpr std::size_t dim = 16;

std::vector<Id> numbers(std::size_t count, std::size_t first = 0) {
  std::vector<Id> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<Id>(first + i);
  return ids;
}

// Every change puts one length under all ids, so a reader that sees two lengths has seen half of a change.
TEST(LiveTokenStoreWithThreads, ReadersSeeChangesWhole) {
  constexpr std::size_t count = 12;
  LiveTokenStore store(
      Codec::train({.kind = CodecKind::i8}, Metric::ip, make_documents(20, dim, 4, 9, 5).batch().rows));
  const std::vector<Id> ids = numbers(count);
  const auto all_of = [&](std::size_t length) { return make_documents(count, dim, length, length, 5); };
  store.apply({all_of(1).batch(), ids});
  std::atomic<bool> over = false;
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      const Documents query = make_documents(1, dim, 3, 3, 6);
      MaxSimQuery prepared;
      std::vector<float> out(count);
      do {
        const TokenSnapshot now = store.snapshot();
        now.prepare_query(query.batch().item(0), prepared);
        const std::size_t tokens = now.score(prepared, ids, out.data());
        EXPECT_EQ(now.size(), count);
        EXPECT_EQ(tokens, now.tokens());
        EXPECT_EQ(tokens % count, 0U);
      } while (!over);
    });
  }
  for (std::size_t change = 0; change < 100; ++change) {
    store.apply({all_of(1 + change % 9).batch(), ids});
    if (change % 20 == 0) store.compact();
  }
  over = true;
  for (std::thread& reader : readers) reader.join();
}

// Two thirds of the documents stay, though under new vectors; the others come and go. Those that stay are found by every search, once.
TEST(LiveIndexOfDocumentsWithThreads, EverySearchFindsWhatStaysAndNothingTwice) {
  constexpr std::size_t stay = 60;
  const Documents documents = make_documents(90, dim, 2, 4, 3);
  for (const char* spec :
       {"maxsim(i8)", "muvera(reps=4, bits=2, dim=4) | i8 | hnsw(m=6, efc=30) | maxsim(i8, 10x)"}) {
    LiveIndex index = LiveIndex::create(dim, spec, Metric::ip);
    index.add(documents.batch(), numbers(90));
    index.remove(numbers(30, stay));
    std::atomic<bool> over = false;
    // Documents of the last third: removed for good, so no search that begins later may find them.
    std::atomic<bool> first_ten_are_gone = false;
    std::vector<std::thread> readers;
    for (int r = 0; r < 2; ++r) {
      readers.emplace_back([&] {
        const Documents asked = make_documents(2, dim, 3, 3, 3, 1000);
        do {
          const bool gone = first_ten_are_gone;
          const Neighbors found = index.search(asked.batch(), 90);
          for (std::size_t q = 0; q < found.size(); ++q) {
            const std::span<const Id> ids = found.ids()[q].first(found.counts()[q]);
            const std::set<Id> seen(ids.begin(), ids.end());
            EXPECT_EQ(seen.size(), ids.size());
            EXPECT_EQ(std::ranges::count_if(seen, [](Id id) { return id < static_cast<Id>(stay); }), stay);
            if (gone) {
              EXPECT_TRUE(std::ranges::none_of(ids, [](Id id) { return id >= 60 && id < 70; }));
            }
          }
        } while (!over);
      });
    }
    std::vector<std::uint64_t> own;
    for (std::size_t change = 0; change < 24; ++change) {
      const std::size_t first = change < 12 ? stay + change % 3 * 10 : stay + 10 + change % 2 * 10;
      index.upsert(documents.batch().part(first, 10, own), numbers(10, first));
      index.upsert(documents.batch().part((change + 1) % 6 * 10, 10, own), numbers(10, change % 6 * 10));
      index.remove(numbers(10, first));
      if (change == 11) first_ten_are_gone = true;
      if (change % 8 == 0) {
        EXPECT_EQ(index.freeze(false).size(), stay);
      }
    }
    over = true;
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(index.size(), stay);
  }
}

}  // namespace
}  // namespace vicinal
