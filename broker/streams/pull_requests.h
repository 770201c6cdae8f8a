#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>

#include "broker/streams/ack_pending.h"

namespace feedvault::broker::streams {

/// The payload of a CONSUMER.MSG.NEXT request, under the API's names; what was not said is as here.
struct PullRequest {
  std::int64_t batch = 1;  // below 1 counts as 1
  std::int64_t max_bytes = 0;
  bool no_wait = false;
  std::int64_t expires_ns = 0;  // after it arrived; 0: never
  std::int64_t idle_heartbeat_ns = 0;
};

/// A pull request that has not got everything it asked for.
struct WaitingRequest {
  std::string reply;
  std::int64_t left = 1;        // messages
  std::int64_t delivered = 0;   // "
  std::int64_t bytes_left = 0;  // of max_bytes
  bool bounded_bytes = false;   // max_bytes was given
  bool no_wait = false;
  bool expires = false;                          // expires_ns was given
  std::int64_t expires_ns = kNoDeadline;         // steady
  std::int64_t next_heartbeat_ns = kNoDeadline;  // "
  std::int64_t heartbeat_ns = 0;
};

/// Who waits for messages of a pull consumer, in the order in which they get the next ones: one
/// message each, then back to the end of the queue. Nodes are reused, so taking turns allocates
/// nothing. Single-threaded; its owner bounds it (max_waiting).
class PullRequests {
 public:
  std::size_t size() const { return waiting_.size(); }
  bool empty() const { return waiting_.empty(); }

  /// A new one at the end; the caller fills in the rest and calls watch().
  WaitingRequest& add(std::string_view reply);
  /// Its deadlines changed to earlier ones.
  void watch(const WaitingRequest& request);

  /// Whose turn it is. Requires: not empty.
  WaitingRequest& head() { return waiting_.front(); }
  void remove_head() { free_.splice(free_.begin(), waiting_, waiting_.begin()); }
  /// The head cannot take anything now: it goes to the end.
  void pass() { waiting_.splice(waiting_.end(), waiting_, waiting_.begin()); }
  /// The head got a message: it goes to the end, or away when that was the last one it wanted.
  void turn();

  /// Messages that all of them still want.
  std::int64_t wanted() const;

  /// No deadline of any request is earlier. (It may be that none is due then; look() finds out.)
  std::int64_t next_deadline() const { return next_deadline_; }

  /// Calls f(request) for each, in order, removes those for which it answers true, and finds out
  /// the next deadline.
  template <typename F>
  void look(F&& f) {
    next_deadline_ = kNoDeadline;
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      const auto next = std::next(at);
      if (f(*at)) {
        free_.splice(free_.begin(), waiting_, at);
      } else {
        watch(*at);
      }
      at = next;
    }
  }

 private:
  std::list<WaitingRequest> waiting_;
  std::list<WaitingRequest> free_;
  std::int64_t next_deadline_ = kNoDeadline;
};

}  // namespace feedvault::broker::streams
