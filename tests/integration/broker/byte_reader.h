#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace feedvault::broker::testing {

/// Reads what a server sends, in the ways that tests want it: RawClient's bytes, TlsClient's plain
/// text. One thread.
class ByteReader {
 public:
  ByteReader() = default;
  virtual ~ByteReader() = default;
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  /// Reads until `text` is the end of what was received since the last call, or time is up, or the
  /// server closes. Returns what was received.
  std::string receive_until(std::string_view text, std::chrono::milliseconds timeout = kPatience);
  /// Reads until `bytes` have come, or time is up, or the server closes.
  std::string receive(std::size_t bytes, std::chrono::milliseconds timeout = kPatience);
  /// Reads all until the server closes, in the way the protocol wants it: else false in `closed`.
  std::string receive_to_end(bool& closed, std::chrono::milliseconds timeout = kPatience);
  /// Whatever comes next; empty when nothing does in time, or the server closes.
  std::string receive_some(std::chrono::milliseconds timeout = kPatience);

 protected:
  using Deadline = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kPatience = std::chrono::seconds(10);

  static Deadline in(std::chrono::milliseconds time) {
    return std::chrono::steady_clock::now() + time;
  }
  /// Appends what comes before the deadline; false at the end of the stream or of the time.
  virtual bool receive_more(std::string& into, Deadline deadline) = 0;
  virtual bool closed_properly() const = 0;

  std::string rest_;  // received, and not asked for yet
};

}  // namespace feedvault::broker::testing
