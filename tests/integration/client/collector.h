#pragma once

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/mutex.h"
#include "client/stream_service.h"
#include "tests/support/feed_stream.h"
#include "tests/support/process.h"

namespace feedvault {

/// A subscriber that remembers every seq it got and looks at the rest.
class Collector {
 public:
  StreamService::Callback callback() {
    return [this](const FeedMessage& message) {
      const std::uint64_t seq = message.position.seq;
      if (message.data.substr(0, message.data.find('.')) != testing::FeedStream::payload_of(seq) ||
          message.id != testing::FeedStream::id_of(seq) ||
          message.timestamp_us != testing::FeedStream::timestamp_us_of(seq)) {
        wrong_ = true;
      }
      MutexLock lock(mutex_);
      seqs_.push_back(seq);
      return true;
    };
  }
  std::function<void(const Gap&)> on_gap() {
    return [this](const Gap& gap) {
      MutexLock lock(mutex_);
      gaps_.emplace_back(gap.first, gap.last);
    };
  }

  std::vector<std::uint64_t> seqs() const {
    MutexLock lock(mutex_);
    return seqs_;
  }
  std::size_t count() const {
    MutexLock lock(mutex_);
    return seqs_.size();
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> gaps() const {
    MutexLock lock(mutex_);
    return gaps_;
  }
  /// Waits for so many messages.
  bool holds(std::size_t wanted) const {
    return testing::eventually([&] { return count() >= wanted; }, std::chrono::seconds(60));
  }
  /// True when it got first, first + 1 ... last, nothing else, and all of it as published.
  bool is_exactly(std::uint64_t first, std::uint64_t last) const {
    const std::vector<std::uint64_t> all = seqs();
    if (wrong_ || all.size() != last - first + 1) {
      return false;
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i] != first + i) {
        return false;
      }
    }
    return true;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::uint64_t> seqs_ GUARDED_BY(mutex_);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> gaps_ GUARDED_BY(mutex_);
  std::atomic<bool> wrong_{false};
};

}  // namespace feedvault
