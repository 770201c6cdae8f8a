#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"

namespace feedvault {

/// A message on its way.
struct InFlight {
  std::string subject;
  std::string id;  // Nats-Msg-Id
  std::string payload;
};

/// Messages that are published and not acknowledged yet, each known by a token that its reply
/// subject ends in. The sender adds and repeats, the thread that receives acknowledgements settles.
/// Any thread.
class AckWindow {
 public:
  explicit AckWindow(std::size_t messages_max) : messages_max_(messages_max) {}

  /// The token of the message, which is kept for repeating.
  std::uint64_t add(InFlight message);

  /// An acknowledgement came; a token that is settled already is ignored.
  void acknowledge(std::uint64_t token, bool duplicate);
  /// A refusal came, or the connection broke: everything open has to be repeated.
  void fail(std::string reason);

  enum class Wait : std::uint8_t { kRoom, kEmpty };
  enum class Outcome : std::uint8_t { kReady, kRepeat, kTimeout };
  /// Waits until there is room for a message (or none is open). kRepeat: first repeat what is open.
  Outcome wait(Wait what, std::chrono::steady_clock::time_point deadline);
  /// The same for kEmpty, whatever failed; false when the deadline has passed.
  bool wait_until_empty(std::chrono::steady_clock::time_point deadline);

  /// What is open, oldest first, with tokens; clears the failure.
  struct Open {
    std::uint64_t token = 0;
    InFlight message;
  };
  std::vector<Open> take_open(std::string& reason);

  std::uint64_t acknowledged() const;
  std::uint64_t duplicates() const;

 private:
  struct Slot {
    InFlight message;
    bool settled = false;
  };

  const std::size_t messages_max_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Slot> slots_ GUARDED_BY(mutex_);
  std::uint64_t first_token_ GUARDED_BY(mutex_) = 1;  // of slots_.front()
  bool failed_ GUARDED_BY(mutex_) = false;
  std::string reason_ GUARDED_BY(mutex_);
  std::uint64_t acknowledged_ GUARDED_BY(mutex_) = 0;
  std::uint64_t duplicates_ GUARDED_BY(mutex_) = 0;
};

}  // namespace feedvault
