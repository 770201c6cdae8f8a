#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"

namespace feedvault::controller {

/// What a feed is doing, for /readyz and the log.
enum class FeedPhase : std::uint8_t {
  kStarting,  // not yet connected to everything
  kWaiting,   // broker or database is away
  kStandby,   // another controller runs the feed
  kActive,    // this one does
  kStopped,   // needs a person: too many bad messages, or table and stream disagree
};

std::string_view feed_phase_name(FeedPhase phase);

/// A moment of a feed, as people see it.
struct FeedView {
  std::string name;
  FeedPhase phase = FeedPhase::kStarting;
  std::string reason;  // why it is not simply active
  bool stuck = false;  // messages wait and none gets through
  std::uint64_t last_seq = 0;
  std::uint64_t published_seq = 0;
  std::uint64_t captured_seq = 0;  // ingest stream's last sequence
  std::uint64_t ingest_seq = 0;    // checkpoint
  double lag_seconds = 0;          // 0 where the feed is not active, as it is not measured there
  double silent_seconds = 0;       // the same

  /// Progress is being made, or is another controller's to make.
  bool ready() const {
    return (phase == FeedPhase::kActive || phase == FeedPhase::kStandby) && !stuck;
  }
};

/// The current FeedView of one feed. Any thread.
class FeedHealth {
 public:
  explicit FeedHealth(std::string name) { view_.name = std::move(name); }

  void set_phase(FeedPhase phase, std::string reason);

  template <typename Change>
  void update(Change change) {
    MutexLock lock(mutex_);
    change(view_);
  }

  FeedView view() const {
    MutexLock lock(mutex_);
    return view_;
  }

 private:
  mutable Mutex mutex_;
  FeedView view_ GUARDED_BY(mutex_);
};

/// The body of /readyz: {"ready":bool,"feeds":[{...}]}, one line.
std::string readyz_json(const std::vector<FeedView>& feeds, const std::string& starting_reason);

}  // namespace feedvault::controller
