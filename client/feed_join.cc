#include "client/feed_join.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace feedvault {
namespace {

constexpr std::uint64_t kOpenEnd = std::numeric_limits<std::uint64_t>::max();
/// No feed gets there; what a stranger sends as his position may.
constexpr std::uint64_t kLastMax = kOpenEnd / 2;

}  // namespace

FeedJoin::FeedJoin(std::uint64_t last, const Options& options)
    : options_(options), last_(std::min(last, kLastMax)) {}

void FeedJoin::live_holds(const SeqRange& range) {
  live_ = range;
  if (next() < live_next_) {
    live_.first = std::max(live_.first, live_next_);
    live_.last = std::max(live_.last, live_next_);
  }
  live_known_ = true;
}

FeedJoin::Step FeedJoin::step() {
  for (;;) {
    std::uint64_t lost_until = 0;
    if (live_known_ && next() < live_.first) {
      lost_until = options_.history ? std::min(table_next_, live_.first) : live_.first;
    } else if (!live_known_ && options_.from_oldest) {
      lost_until = table_next_;
    }
    if (lost_until <= next()) {
      return choose_side();
    }
    gap_ = {.first = next(), .last = lost_until - 1};
    if (!options_.from_oldest) {
      return Step::kGap;
    }
    last_ = gap_.last;
  }
}

FeedJoin::Step FeedJoin::choose_side() {
  const bool live_serves = live_known_ && next() >= live_.first;
  if (live_serves && handover_ == kOpenEnd) {
    handover_ = 0;  // the live side was unknown until now
  }
  const bool table_may_serve = options_.history && !table_ended_ && next() >= table_next_;
  if (live_serves && (next() >= handover_ || !table_may_serve)) {
    handover_ = 0;
    return Step::kLive;
  }
  if (!table_may_serve) {
    return Step::kWait;
  }
  if (!live_serves) {
    handover_ = live_known_ ? handover_seq() : kOpenEnd;
  }
  return Step::kHistory;
}

std::uint64_t FeedJoin::handover_seq() const {
  // Not beyond what the live side holds: the table has it already, but hardly anything more.
  return live_.first + std::min(options_.overlap, live_.last + 1 - live_.first);
}

SeqRange FeedJoin::history_range() const {
  return {.first = next(), .last = handover_ == kOpenEnd ? kOpenEnd : handover_ - 1};
}

void FeedJoin::pass_gap() {
  CHECK(gap_.first == next() && !gap_.empty());
  last_ = gap_.last;
  options_.from_oldest = false;
}

FeedJoin::Verdict FeedJoin::judge(std::uint64_t seq) const {
  return seq < next() ? Verdict::kRepeat : seq == next() ? Verdict::kDeliver : Verdict::kStop;
}

FeedJoin::Verdict FeedJoin::offer_live(std::uint64_t seq) {
  if (seq > next()) {
    live_next_ = seq;
    live_holds(live_);
  }
  return judge(seq);
}

FeedJoin::Verdict FeedJoin::offer_history(std::uint64_t seq) {
  if (seq > next()) {
    table_next_ = std::max(table_next_, seq);
  }
  return judge(seq);
}

void FeedJoin::delivered() {
  ++last_;
  options_.from_oldest = false;
  table_ended_ = false;
}

void FeedJoin::history_read(std::uint64_t next_seq, bool end) {
  table_next_ = std::max(table_next_, next_seq);
  table_ended_ = end;
}

}  // namespace feedvault
