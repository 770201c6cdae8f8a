#include "broker/streams/ack_ledger.h"

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/streams/flow_control.h"
#include "broker/streams/pull_requests.h"

namespace feedvault::broker::streams {
namespace {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(random_);
  }

 private:
  std::mt19937_64 random_;
};

// --- AckPending against a map ---

struct ModelEntry {
  std::int64_t deadline_ns = 0;
  std::uint32_t deliveries = 1;
  bool queued = false;
};

class PendingModel {
 public:
  void step(Dice& dice) {
    const std::uint64_t what = dice.below(10);
    if (what < 4 || model_.empty()) {
      last_ += 1 + (dice.below(4) == 0 ? dice.below(5) : 0);
      const auto deadline = static_cast<std::int64_t>(now_ + 1 + dice.below(50));
      pending_.add({last_, last_, static_cast<std::int64_t>(now_), deadline, 1, 0});
      model_[last_] = {deadline, 1, false};
      return;
    }
    auto at = model_.begin();
    std::advance(at, dice.below(2) == 0 ? 0 : dice.below(model_.size()));
    PendingAck* const entry = pending_.find(at->first);
    ASSERT_NE(entry, nullptr) << at->first;
    switch (what) {
      case 4:
      case 5:
      case 6:
        pending_.remove(*entry);
        model_.erase(at);
        break;
      case 7:
        at->second.deadline_ns = static_cast<std::int64_t>(now_ + 1 + dice.below(100));
        at->second.queued = false;
        pending_.set_deadline(*entry, at->second.deadline_ns);
        break;
      case 8:
        if (!at->second.queued) {
          queue_.push_back(at->first);
          at->second.queued = true;
        }
        pending_.queue(*entry);
        break;
      default:
        now_ += dice.below(20);
        expire(dice);
    }
  }

  void check() {
    ASSERT_EQ(pending_.size(), model_.size());
    std::size_t queued = 0;
    std::size_t redelivered = 0;
    auto expected = model_.begin();
    pending_.for_each([&](const PendingAck& entry) {
      ASSERT_EQ(entry.seq, expected->first);
      ASSERT_EQ(entry.deliveries, expected->second.deliveries);
      ASSERT_EQ(entry.ticket != 0, expected->second.queued);
      queued += expected->second.queued ? 1U : 0U;
      redelivered += expected->second.deliveries > 1 ? 1U : 0U;
      ++expected;
    });
    ASSERT_EQ(pending_.queued(), queued);
    ASSERT_EQ(pending_.redelivered(), redelivered);
    ASSERT_EQ(pending_.first() == nullptr ? 0 : pending_.first()->seq,
              model_.empty() ? 0 : model_.begin()->first);
    ASSERT_EQ(pending_.find(last_ + 1), nullptr);
  }

 private:
  /// Everything due is queued, in order; then half of the queue is delivered again.
  void expire(Dice& dice) {
    std::vector<std::pair<std::int64_t, StreamSeq>> due;
    for (auto& [seq, entry] : model_) {
      if (!entry.queued && entry.deadline_ns <= static_cast<std::int64_t>(now_)) {
        due.emplace_back(entry.deadline_ns, seq);
      }
    }
    std::sort(due.begin(), due.end());
    for (const auto& [deadline, seq] : due) {
      PendingAck* const entry = pending_.next_due(static_cast<std::int64_t>(now_));
      ASSERT_NE(entry, nullptr);
      ASSERT_EQ(entry->seq, seq);
      pending_.queue(*entry);
      model_[seq].queued = true;
      queue_.push_back(seq);
    }
    ASSERT_EQ(pending_.next_due(static_cast<std::int64_t>(now_)), nullptr);
    while (dice.below(2) == 0) {
      while (!queue_.empty() && !in_queue()) {
        queue_.pop_front();
      }
      PendingAck* const entry = pending_.next_queued();
      ASSERT_EQ(entry == nullptr ? 0 : entry->seq, queue_.empty() ? 0 : queue_.front());
      if (entry == nullptr) {
        return;
      }
      ModelEntry& model = model_[entry->seq];
      model.queued = false;
      ++model.deliveries;
      model.deadline_ns = static_cast<std::int64_t>(now_ + 30);
      pending_.delivered_again(*entry, static_cast<std::int64_t>(now_), model.deadline_ns);
      queue_.pop_front();
    }
  }
  /// Of several places of one message the last counts: those before it were given up.
  bool in_queue() const {
    const StreamSeq seq = queue_.front();
    const auto found = model_.find(seq);
    return found != model_.end() && found->second.queued &&
           std::count(queue_.begin(), queue_.end(), seq) == 1;
  }

  AckPending pending_;
  std::map<StreamSeq, ModelEntry> model_;
  std::deque<StreamSeq> queue_;
  StreamSeq last_ = 0;
  std::uint64_t now_ = 1000;
};

TEST(AckPending, IsWhatAMapWouldBe) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Dice dice(seed);
    PendingModel model;
    for (int i = 0; i < 1500; ++i) {
      model.step(dice);
      if (::testing::Test::HasFatalFailure()) {
        return;
      }
      if (i % 16 == 0) {
        model.check();
      }
    }
    model.check();
  }
}

TEST(AckPending, StaysSmallWhenTheFirstMessageIsNeverAcknowledged) {
  AckPending pending;
  pending.add({1, 1, 0, 1'000'000, 1, 0});
  for (StreamSeq seq = 2; seq < 300'000; ++seq) {
    pending.add({seq, seq, 0, 1'000'000 + static_cast<std::int64_t>(seq), 1, 0});
    pending.queue(*pending.find(seq));
    pending.remove(*pending.find(seq));
  }
  EXPECT_EQ(pending.size(), 1U);
  EXPECT_LT(pending.memory_bytes(), 300'000U);
  EXPECT_EQ(pending.next_deadline(), 1'000'000);
}

TEST(AckPending, StaysSmallWhenOneMessageIsPostponedForEver) {
  AckPending pending;
  pending.add({1, 1, 0, 1'000'000, 1, 0});
  for (std::int64_t i = 0; i < 300'000; ++i) {
    pending.set_deadline(*pending.find(1), 2'000'000 + i);
  }
  EXPECT_LT(pending.memory_bytes(), 300'000U);
  EXPECT_EQ(pending.next_deadline(), 2'299'999);
}

// --- The ledger, and what comes back of it ---

/// Equal but for clocks: deadlines are kept in milliseconds, rounded up, and past ones mean now.
void expect_same(const AckLedger& live, const AckLedger& read, const Moment& now) {
  EXPECT_EQ(live.delivered(), read.delivered());
  EXPECT_EQ(live.floor(), read.floor());
  EXPECT_EQ(live.exhausted(), read.exhausted());
  EXPECT_EQ(live.resume_after(), read.resume_after());
  std::vector<PendingAck> before;
  live.pending().for_each([&](const PendingAck& entry) { before.push_back(entry); });
  std::size_t i = 0;
  read.pending().for_each([&](const PendingAck& entry) {
    ASSERT_LT(i, before.size());
    EXPECT_EQ(entry.seq, before[i].seq);
    EXPECT_EQ(entry.first_delivery, before[i].first_delivery);
    EXPECT_EQ(entry.deliveries, before[i].deliveries);
    const std::int64_t due =
        before[i].deadline_ns == kNoDeadline ? 0 : before[i].deadline_ns - now.steady_ns;
    EXPECT_GE(entry.deadline_ns - now.steady_ns, std::max<std::int64_t>(due, 0));
    EXPECT_LE(entry.deadline_ns - now.steady_ns, std::max<std::int64_t>(due, 0) + 1'000'000);
    ++i;
  });
  EXPECT_EQ(i, before.size());
}

class LedgerModel {
 public:
  LedgerModel(AckPolicy policy, std::uint64_t seed) : policy_(policy), dice_(seed), live_(policy) {
    live_.start(1 + dice_.below(5), dice_.below(2) == 0 ? 0 : 7);
    snapshot_ = live_.snapshot(now_);
    live_.clear_changes();
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      now_.steady_ns += static_cast<std::int64_t>(dice_.below(5'000'000));
      now_.unix_ns = now_.steady_ns + 1'700'000'000'000'000'000;
      if (dice_.below(10) == 0) {
        changes_.emplace_back(live_.changes());
        live_.clear_changes();
      }
      if (dice_.below(60) == 0) {
        restart();
      }
      if (dice_.below(100) == 0) {
        snapshot_ = live_.snapshot(now_);
        live_.clear_changes();
        changes_.clear();
      }
    }
    restart();
  }

 private:
  void restart() {
    changes_.emplace_back(live_.changes());
    live_.clear_changes();
    AckLedger read(policy_);
    ASSERT_TRUE(read.load_snapshot(snapshot_, now_).ok());
    for (const std::string& change : changes_) {
      ASSERT_TRUE(read.load_change(change, now_).ok());
    }
    expect_same(live_, read, now_);
    EXPECT_TRUE(read.changes().empty());
  }
  PendingAck* any() {
    std::vector<StreamSeq> all;
    live_.pending().for_each([&](const PendingAck& entry) { all.push_back(entry.seq); });
    return all.empty() ? nullptr : live_.pending().find(all[dice_.below(all.size())]);
  }
  void step() {
    PendingAck* const entry = any();
    const StreamSeq next = live_.delivered().stream + 1;
    const std::uint64_t what = dice_.below(11);
    if (entry == nullptr || what < 2) {
      for (std::uint64_t i = 1 + dice_.below(20); i > 0; --i) {
        live_.deliver(live_.delivered().stream + 1 + (dice_.below(5) == 0 ? dice_.below(9) : 0),
                      now_,
                      1'000'000'000);
      }
      return;
    }
    switch (what) {
      case 2:
        dice_.below(4) == 0 ? live_.forget_below(next + dice_.below(3)) : live_.skip_to(next + 1);
        live_.set_resume_after(dice_.below(3) == 0 ? next : 0);
        break;
      case 3:
        live_.deliver_again(*entry, now_, 2'000'000'000);
        break;
      case 4:
        live_.postpone(*entry, now_, static_cast<std::int64_t>(dice_.below(9'000'000'000)));
        break;
      case 5:
        live_.postpone(*entry, now_, 0);
        live_.pending().queue(*entry);
        break;
      case 6:
        live_.exhaust(*entry);
        break;
      case 7:
        live_.forget(entry->seq);
        break;
      case 8:
        live_.ack_through(entry->seq, now_, [](StreamSeq) {});
        break;
      default: {
        // A few in a row, as clients do.
        StreamSeq seq = entry->seq;
        for (std::uint64_t i = dice_.below(8) + 1; i > 0; --i) {
          live_.ack(seq++, now_);
        }
      }
    }
  }

  AckPolicy policy_;
  Dice dice_;
  Moment now_{1'000'000'000'000, 1'700'001'000'000'000'000};
  AckLedger live_;
  std::string snapshot_;
  std::vector<std::string> changes_;
};

TEST(AckLedger, ComesBackAsItWas) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    for (const AckPolicy policy : {AckPolicy::kExplicit, AckPolicy::kAll, AckPolicy::kNone}) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      LedgerModel(policy, seed).run(400);
      if (::testing::Test::HasFailure()) {
        return;
      }
    }
  }
}

TEST(AckLedger, ABatchIsAFewBytes) {
  AckLedger ledger(AckPolicy::kAll);
  const Moment now{1'000'000'000, 1'700'000'000'000'000'000};
  ledger.start(1, 0);
  for (StreamSeq seq = 1; seq <= 1000; ++seq) {
    ledger.deliver(seq, now, 30'000'000'000);
  }
  ledger.ack_through(1000, now, [](StreamSeq) {});
  EXPECT_LT(ledger.changes().size(), 24U);
  EXPECT_LT(ledger.snapshot(now).size(), 64U);
}

TEST(AckLedger, RefusesBytesThatMakeNoSense) {
  AckLedger ledger(AckPolicy::kExplicit);
  const Moment now{1'000'000'000, 1'700'000'000'000'000'000};
  ledger.start(1, 0);
  for (StreamSeq seq = 1; seq <= 5; ++seq) {
    ledger.deliver(seq, now, 1'000'000);
  }
  const std::string good = ledger.snapshot(now);
  for (std::size_t size = 0; size < good.size(); ++size) {
    AckLedger other(AckPolicy::kExplicit);
    EXPECT_EQ(other.load_snapshot(good.substr(0, size), now).code(), StatusCode::kCorruption);
    EXPECT_TRUE(other.pending().empty());
    EXPECT_EQ(other.delivered(), SequencePair{});
  }
  const Status newer = ledger.load_snapshot("\x02" + good.substr(1), now);
  EXPECT_EQ(newer.message(), "a consumer's state has version 2, and this program reads 1");
  AckLedger read(AckPolicy::kExplicit);
  ASSERT_TRUE(read.load_snapshot(good, now).ok());
  EXPECT_FALSE(read.load_change("\x63", now).ok());
  EXPECT_EQ(read.pending().size(), 5U);
}

TEST(AckLedger, AWrongWallClockDelaysRedeliveryByAWeekAtMost) {
  AckLedger ledger(AckPolicy::kExplicit);
  const Moment now{1'000'000'000, 1'700'000'000'000'000'000};
  ledger.start(1, 0);
  ledger.deliver(1, now, 30'000'000'000);
  AckLedger read(AckPolicy::kExplicit);
  const Moment long_ago{5'000'000'000, 1'000'000'000'000'000'000};
  ASSERT_TRUE(read.load_snapshot(ledger.snapshot(now), long_ago).ok());
  EXPECT_LE(read.pending().next_deadline() - long_ago.steady_ns, 7LL * 86'400 * 1'000'000'000);
}

// --- Small parts ---

TEST(PullRequests, TakeTurnsAndKnowTheirDeadline) {
  PullRequests requests;
  requests.add("a").left = 2;
  WaitingRequest& b = requests.add("b");
  b.left = 1;
  b.expires_ns = 50;
  requests.watch(b);
  EXPECT_EQ(requests.next_deadline(), 50);
  EXPECT_EQ(requests.wanted(), 3);
  EXPECT_EQ(requests.head().reply, "a");
  requests.turn();
  EXPECT_EQ(requests.head().reply, "b");
  requests.turn();
  EXPECT_EQ(requests.head().reply, "a");
  EXPECT_EQ(requests.size(), 1U);
  requests.look([](const WaitingRequest&) { return false; });
  EXPECT_EQ(requests.next_deadline(), kNoDeadline);
  requests.turn();
  EXPECT_TRUE(requests.empty());
  EXPECT_EQ(requests.add("c").expires_ns, kNoDeadline) << "nothing is left of the one before";
}

TEST(FlowControl, GrowsToItsLimit) {
  FlowControl flow;
  std::uint64_t window = FlowControl::kWindowStart;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(flow.window(), window);
    EXPECT_FALSE(flow.sent(window / 2));
    EXPECT_TRUE(flow.sent(1));
    flow.asked("r" + std::to_string(i));
    EXPECT_FALSE(flow.stalled());
    EXPECT_FALSE(flow.sent(window / 2));
    EXPECT_TRUE(flow.stalled());
    EXPECT_FALSE(flow.answered("other"));
    EXPECT_TRUE(flow.answered("r" + std::to_string(i)));
    EXPECT_FALSE(flow.answered("r" + std::to_string(i)));
    flow.sent(0);
    window = std::min(window * 2, FlowControl::kWindowMax);
    FlowControl rest;  // what was behind the request is still out
    EXPECT_FALSE(flow.stalled());
    flow.asked("rest");
    EXPECT_TRUE(flow.answered("rest"));
    window = std::min(window * 2, FlowControl::kWindowMax);
  }
}

TEST(RateLimits, HoldOnAverage) {
  RateLimit limit(8'000'000, 1000);
  std::int64_t now_ns = 1'000'000'000;
  std::uint64_t sent = 0;
  while (now_ns < 3'000'000'000) {
    const std::int64_t at = limit.take(700, now_ns);
    if (at <= now_ns) {
      sent += 700;
    } else {
      now_ns = at;
    }
  }
  EXPECT_NEAR(static_cast<double>(sent), 2'000'000, 2'000);
  RateLimit small(8'000, 100);
  EXPECT_EQ(small.take(5'000, now_ns), now_ns) << "larger than the burst goes out, too";
  EXPECT_NEAR(static_cast<double>(small.take(100, now_ns) - now_ns), 5e9, 1e6);
}

}  // namespace
}  // namespace feedvault::broker::streams
