#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace feedvault::broker::streams {

/// Flow control of a push consumer: how many bytes may be on their way to the client before it has
/// confirmed earlier ones. The window starts small and doubles with each answer. When more than
/// half of it is out, the client is asked to answer; it does so once it has come so far in its own
/// queue. Single-threaded.
class FlowControl {
 public:
  static constexpr std::uint64_t kWindowMax = 32U << 20U;
  static constexpr std::uint64_t kWindowStart = kWindowMax / 16;

  /// Nothing is on its way: for a new receiver.
  void reset();

  /// The window is full.
  bool stalled() const { return out_ > window_; }
  /// So many bytes went out. True when the client is to be asked now; call asked().
  bool sent(std::uint64_t bytes);
  /// The request went out, with this reply subject.
  void asked(std::string reply);
  /// Somebody published to `reply`. True when that answers the request that is out.
  bool answered(std::string_view reply);

  /// The reply subject of the request that is not answered yet, or "".
  const std::string& outstanding() const { return reply_; }
  std::uint64_t window() const { return window_; }

 private:
  std::uint64_t window_ = kWindowStart;
  std::uint64_t out_ = 0;
  std::uint64_t covered_ = 0;  // by the request that is out
  std::string reply_;
};

/// Bytes a second, with a burst, on a clock of nanoseconds.
class RateLimit {
 public:
  /// `bits_a_second` 0: no limit.
  RateLimit(std::uint64_t bits_a_second, std::uint64_t burst_bytes);

  /// When `bytes` may go out, if not now: a steady time. Takes them when it is now.
  std::int64_t take(std::uint64_t bytes, std::int64_t now_ns);

 private:
  double bytes_a_ns_;
  double burst_;
  double tokens_;
  std::int64_t filled_ns_ = 0;
};

}  // namespace feedvault::broker::streams
