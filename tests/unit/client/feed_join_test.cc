#include "client/feed_join.h"

#include <limits>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace feedvault {
namespace {

using Step = FeedJoin::Step;
using Verdict = FeedJoin::Verdict;
using Options = FeedJoin::Options;

constexpr std::uint64_t kOpen = std::numeric_limits<std::uint64_t>::max();

/// Offers and takes [first, last] of the table, as one page.
void read_table(FeedJoin& join, std::uint64_t first, std::uint64_t last, bool end) {
  for (std::uint64_t seq = first; seq <= last; ++seq) {
    ASSERT_EQ(join.offer_history(seq), Verdict::kDeliver) << seq;
    join.delivered();
  }
  join.history_read(last + 1, end);
}

TEST(FeedJoin, ReadsLiveWhatTheLiveSideHolds) {
  FeedJoin join(6, Options());
  join.live_holds({5, 9});
  for (std::uint64_t seq = 5; seq <= 10; ++seq) {  // 10 is newer than our look
    ASSERT_EQ(join.step(), Step::kLive);
    ASSERT_EQ(join.offer_live(seq), seq < 7 ? Verdict::kRepeat : Verdict::kDeliver);
    if (seq >= 7) {
      join.delivered();
    }
  }
  EXPECT_EQ(join.last(), 10U);
  EXPECT_EQ(join.step(), Step::kLive);
  EXPECT_FALSE(join.catching_up());
}

TEST(FeedJoin, WaitsOnTheLiveSideForWhatIsYetToCome) {
  FeedJoin join(41, Options());
  join.live_holds({1, 10});
  EXPECT_EQ(join.step(), Step::kLive);
  EXPECT_EQ(join.offer_live(11), Verdict::kRepeat);
  EXPECT_EQ(join.offer_live(42), Verdict::kDeliver);
}

TEST(FeedJoin, ReadsThePastUpToAnOverlapAndChangesOver) {
  FeedJoin join(0, {.overlap = 3});
  join.live_holds({101, 200});
  ASSERT_EQ(join.step(), Step::kHistory);
  EXPECT_EQ(join.history_range(), (SeqRange{1, 103}));
  EXPECT_TRUE(join.catching_up());
  read_table(join, 1, 50, /*end=*/false);
  join.live_holds({111, 210});  // it forgets while we read
  ASSERT_EQ(join.step(), Step::kHistory);
  EXPECT_EQ(join.history_range(), (SeqRange{51, 113}));
  read_table(join, 51, 111, /*end=*/false);
  ASSERT_EQ(join.step(), Step::kHistory) << "it would be at the very edge";
  read_table(join, 112, 113, /*end=*/false);
  EXPECT_EQ(join.step(), Step::kLive);
  EXPECT_FALSE(join.catching_up());
  EXPECT_EQ(join.offer_live(113), Verdict::kRepeat);
  EXPECT_EQ(join.offer_live(114), Verdict::kDeliver);
}

TEST(FeedJoin, NeverReadsThePastBeyondWhatTheLiveSideHolds) {
  FeedJoin join(0, Options());
  join.live_holds({101, 110});
  ASSERT_EQ(join.step(), Step::kHistory);
  EXPECT_EQ(join.history_range(), (SeqRange{1, 110}));
  FeedJoin empty(0, Options());
  empty.live_holds({101, 100});
  ASSERT_EQ(empty.step(), Step::kHistory);
  EXPECT_EQ(empty.history_range(), (SeqRange{1, 100}));
  read_table(empty, 1, 100, /*end=*/true);
  EXPECT_EQ(empty.step(), Step::kLive);
}

TEST(FeedJoin, AJumpOfTheLiveSideIsFilledFromTheTable) {
  FeedJoin join(10, {.overlap = 2});
  join.live_holds({1, 20});
  ASSERT_EQ(join.step(), Step::kLive);
  ASSERT_EQ(join.offer_live(15), Verdict::kStop);
  ASSERT_EQ(join.step(), Step::kHistory);
  EXPECT_EQ(join.history_range(), (SeqRange{11, 16}));
  read_table(join, 11, 16, /*end=*/false);
  EXPECT_EQ(join.step(), Step::kLive);
  EXPECT_EQ(join.offer_live(15), Verdict::kRepeat);
  EXPECT_EQ(join.offer_live(17), Verdict::kDeliver);
}

TEST(FeedJoin, WhatNeitherSideHasIsAGap) {
  FeedJoin join(10, {.overlap = 0});
  join.live_holds({31, 40});
  ASSERT_EQ(join.step(), Step::kHistory);
  ASSERT_EQ(join.offer_history(25), Verdict::kStop) << "11 to 24 are not in the table";
  ASSERT_EQ(join.step(), Step::kGap);
  EXPECT_EQ(join.gap(), (SeqRange{11, 24}));
  join.pass_gap();
  EXPECT_EQ(join.offer_history(25), Verdict::kDeliver);
  join.delivered();
  join.history_read(36, /*end=*/false);  // and nothing from 26 to 35
  ASSERT_EQ(join.step(), Step::kGap);
  EXPECT_EQ(join.gap(), (SeqRange{26, 30})) << "the live side has the rest";
  join.pass_gap();
  EXPECT_EQ(join.step(), Step::kLive);
  EXPECT_EQ(join.offer_live(31), Verdict::kDeliver);
}

TEST(FeedJoin, ATableThatEndsTooEarlyIsWaitedFor) {
  FeedJoin join(10, Options());
  join.live_holds({31, 40});
  ASSERT_EQ(join.step(), Step::kHistory);
  read_table(join, 11, 20, /*end=*/true);
  EXPECT_EQ(join.step(), Step::kWait);
  EXPECT_EQ(join.step(), Step::kWait);
  join.ask_table_again();
  ASSERT_EQ(join.step(), Step::kHistory);
  read_table(join, 21, 40, /*end=*/false);
  EXPECT_EQ(join.step(), Step::kLive);
}

TEST(FeedJoin, ATableThatIsAwayHoldsNothingUpThatIsLive) {
  FeedJoin join(0, Options());
  join.live_holds({101, 4000});
  ASSERT_EQ(join.step(), Step::kHistory);
  join.table_away();
  EXPECT_EQ(join.step(), Step::kWait);
  join.ask_table_again();
  ASSERT_EQ(join.step(), Step::kHistory);
  read_table(join, 1, 100, /*end=*/false);
  ASSERT_EQ(join.step(), Step::kHistory) << "not to be at the very edge";
  join.table_away();
  EXPECT_EQ(join.step(), Step::kLive);

  FeedJoin stream_was_away(100, Options());
  ASSERT_EQ(stream_was_away.step(), Step::kHistory);
  stream_was_away.live_holds({1, 150});
  EXPECT_EQ(stream_was_away.step(), Step::kLive);
}

TEST(FeedJoin, TheOldestThereIsIsNoGap) {
  FeedJoin join(0, {.from_oldest = true});
  join.live_holds({31, 40});
  ASSERT_EQ(join.step(), Step::kHistory);
  ASSERT_EQ(join.offer_history(5), Verdict::kStop);
  ASSERT_EQ(join.step(), Step::kHistory);
  ASSERT_EQ(join.offer_history(5), Verdict::kDeliver);
  join.delivered();
  ASSERT_EQ(join.offer_history(7), Verdict::kStop);
  EXPECT_EQ(join.step(), Step::kGap) << "later ones are";
}

TEST(FeedJoin, WithoutHistoryWhatTheLiveSideForgotIsAGap) {
  FeedJoin join(10, {.history = false});
  EXPECT_EQ(join.step(), Step::kWait);
  join.live_holds({31, 40});
  ASSERT_EQ(join.step(), Step::kGap);
  EXPECT_EQ(join.gap(), (SeqRange{11, 30}));
  join.pass_gap();
  EXPECT_EQ(join.step(), Step::kLive);
  EXPECT_EQ(join.offer_live(34), Verdict::kStop);
  ASSERT_EQ(join.step(), Step::kGap);
  EXPECT_EQ(join.gap(), (SeqRange{31, 33}));

  FeedJoin oldest(0, {.history = false, .from_oldest = true});
  oldest.live_holds({31, 40});
  EXPECT_EQ(oldest.step(), Step::kLive);
  EXPECT_EQ(oldest.next(), 31U);
}

TEST(FeedJoin, TheTableIsReadWhileTheLiveSideIsUnknown) {
  FeedJoin join(10, Options());
  ASSERT_EQ(join.step(), Step::kHistory);
  EXPECT_EQ(join.history_range(), (SeqRange{11, kOpen}));
  read_table(join, 11, 20, /*end=*/false);
  ASSERT_EQ(join.offer_history(25), Verdict::kStop);
  EXPECT_EQ(join.step(), Step::kWait) << "21 to 24 may be live";
  join.live_holds({21, 30});
  EXPECT_EQ(join.step(), Step::kLive);
}

TEST(FeedJoin, APositionOfNoFeedDoesNotWrapAround) {
  FeedJoin join(kOpen, Options());
  join.live_holds({31, 40});
  EXPECT_EQ(join.step(), Step::kLive);
  EXPECT_EQ(join.offer_live(41), Verdict::kRepeat);
}

/// A feed whose two sides do what they like: the live one forgets, has holes, goes away and comes
/// back; the table has holes, and for a while its end is missing. And one reader of it, whose looks
/// are old.
class Model {
 public:
  Model(unsigned seed, const Options& options)
      : random_(seed),
        history_(options.history),
        from_oldest_(options.from_oldest),
        first_(1 + below(40)),
        join_(first_ - 1, options) {
    for (std::size_t i = below(60); i > 0; --i) {
      publish();
    }
  }

  void run() {
    for (int i = 0; i < 400 && !::testing::Test::HasFailure(); ++i) {
      disturb();
      read();
    }
    // In the end all is there again, and the reader must get to the end of it.
    live_away_ = false;
    ++published_;
    table_.insert(published_);
    live_.insert(published_);
    table_end_ = published_;
    for (int i = 0; i < 2000 && join_.last() < published_; ++i) {
      look();
      read();
    }
    EXPECT_GE(join_.last(), published_);
    check_completeness();
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  void publish() {
    ++published_;
    if (!one_in(15)) {
      table_.insert(published_);
    }
    if (!one_in(15) || table_.count(published_) == 0) {
      live_.insert(published_);
    }
    if (table_end_ + 1 == published_) {
      table_end_ = published_;
    }
  }

  void disturb() {
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
        for (std::size_t i = below(12); i > 0; --i) {
          publish();
        }
        break;
      case 3:
      case 4:  // the live side forgets
        for (std::size_t i = below(15); i > 0 && !live_.empty(); --i) {
          live_.erase(live_.begin());
        }
        break;
      case 5:
        live_away_ = !live_away_;
        break;
      case 6:  // the table loses its end, and gets it back
        table_end_ = table_end_ == published_ ? published_ - below(published_ / 2 + 1) : published_;
        break;
      default:
        look();
    }
  }

  void look() {
    told_unknown_ = live_away_;
    if (live_away_) {
      join_.live_unknown();
    } else if (live_.empty()) {
      join_.live_holds({published_ + 1, published_});
    } else {
      join_.live_holds({*live_.begin(), published_});
    }
  }

  void read() {
    const std::uint64_t next = join_.next();
    const Step step = join_.step();
    for (std::uint64_t passed = next; passed < join_.next(); ++passed) {
      ASSERT_TRUE(from_oldest_ && got_.empty() && lost_.empty());
      EXPECT_FALSE(history_ && table_.count(passed) == 1) << passed;
      EXPECT_FALSE(!told_unknown_ && live_.count(passed) == 1) << passed;
    }
    switch (step) {
      case Step::kLive:
        read_live();
        break;
      case Step::kHistory:
        ASSERT_TRUE(history_);
        if (one_in(6)) {
          join_.table_away();
          const bool live = !told_unknown_ && live_.count(join_.next()) == 1;
          EXPECT_FALSE(live && join_.step() != Step::kLive) << join_.next();
        } else {
          read_history();
        }
        break;
      case Step::kGap:
        take_gap();
        break;
      case Step::kWait:
        join_.ask_table_again();
        break;
    }
  }

  void take_gap() {
    const SeqRange gap = join_.gap();
    ASSERT_EQ(gap.first, join_.next());
    ASSERT_FALSE(gap.empty());
    for (std::uint64_t seq = gap.first; seq <= gap.last; ++seq) {
      EXPECT_EQ(live_.count(seq), 0U) << seq << " is live";
      if (history_) {
        EXPECT_EQ(table_.count(seq), 0U) << seq << " is in the table";
        EXPECT_LT(seq, published_);
      }
      lost_.insert(seq);
    }
    join_.pass_gap();
  }

  /// False: no further ones now.
  bool take(std::uint64_t seq, Verdict verdict) {
    if (verdict != Verdict::kDeliver) {
      return verdict == Verdict::kRepeat;
    }
    EXPECT_EQ(seq, join_.next());
    if (one_in(20)) {
      return false;  // the reader did not want it after all
    }
    got_.push_back(seq);
    join_.delivered();
    return true;
  }

  void read_live() {
    if (live_away_) {
      look();
      return;
    }
    auto it = live_.lower_bound(join_.next() - std::min<std::uint64_t>(join_.last(), below(4)));
    for (std::size_t i = below(10); i > 0 && it != live_.end(); --i, ++it) {
      if (!take(*it, join_.offer_live(*it))) {
        return;
      }
    }
  }

  void read_history() {
    const SeqRange range = join_.history_range();
    ASSERT_EQ(range.first, join_.next());
    ASSERT_FALSE(range.empty());
    auto it = table_.lower_bound(range.first);
    const auto at_end = [&] { return it == table_.end() || *it > table_end_; };
    std::uint64_t next = range.first;
    std::size_t taken = 0;
    for (std::size_t i = 1 + below(10); i > 0 && !at_end() && *it <= range.last; --i, ++it) {
      if (!take(*it, join_.offer_history(*it))) {
        return;  // not the whole page
      }
      next = *it + 1;
      ++taken;
    }
    if (at_end()) {
      join_.history_read(next, /*end=*/true);
    } else {
      join_.history_read(taken == 0 || one_in(2) ? *it : next, /*end=*/false);
    }
  }

  void check_completeness() const {
    std::size_t i = 0;
    // A start at the oldest begins wherever it does; no gap is told before its first message.
    std::uint64_t seq = first_;
    if (from_oldest_ && !got_.empty()) {
      seq = got_.front();
    }
    for (; seq <= published_; ++seq) {
      const bool delivered = i < got_.size() && got_[i] == seq;
      i += delivered ? 1 : 0;
      EXPECT_NE(delivered, lost_.count(seq) == 1) << seq;
    }
    EXPECT_EQ(i, got_.size());
  }

  std::mt19937_64 random_;
  const bool history_;
  const bool from_oldest_;
  const std::uint64_t first_;
  std::uint64_t published_ = 0;
  std::set<std::uint64_t> table_;
  std::uint64_t table_end_ = 0;  // what lies behind is missing just now
  std::set<std::uint64_t> live_;
  bool live_away_ = false;
  bool told_unknown_ = true;
  FeedJoin join_;
  std::vector<std::uint64_t> got_;
  std::set<std::uint64_t> lost_;
};

TEST(FeedJoin, DeliversEachMessageOnceOrCallsItLostWhateverTheSidesDo) {
  for (unsigned seed = 1; seed <= 1000 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Model(seed, {.history = seed % 5 != 0, .from_oldest = seed % 3 == 0, .overlap = seed % 7})
        .run();
  }
}

}  // namespace
}  // namespace feedvault
