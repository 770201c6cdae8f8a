#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace feedvault::bench {

/// Thousands of readers of server-sent events on one thread: each counts its events, whose
/// positions must follow one another, and the time of each arrival is taken. One thread.
class EventReaders {
 public:
  /// Opens so many connections to loopback and asks for `target` on each. Throws std::runtime_error
  /// when one is refused.
  EventReaders(std::uint16_t port, std::size_t count, const std::string& target);

  /// Until every reader has got its first bytes; false when that takes too long.
  bool wait_until_answered(SteadyTime deadline);
  /// Until every reader has so many events; false at the deadline, or when all have left.
  bool read_until(std::uint64_t events, SteadyTime deadline);

  /// Of all readers.
  std::uint64_t events() const { return events_; }
  /// Events that did not follow the one before them, and connections that ended.
  std::uint64_t wrong() const { return wrong_; }
  /// From the body's executionEpoch to the arrival, of every event, in microseconds; not sorted.
  std::vector<float> take_latencies_us() { return std::move(latencies_us_); }
  /// The events as they came, each once, with their empty lines.
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  struct Reader {
    UniqueFd socket;
    std::string rest;  // of an event that is not whole yet
    std::uint64_t next = 0;
    std::uint64_t events = 0;
    bool answered = false;
  };

  void poll(int timeout_ms);
  void read(Reader& reader);
  std::size_t take_events(Reader& reader, std::string_view bytes);
  void take_event(Reader& reader, std::string_view text);

  UniqueFd epoll_;
  std::vector<Reader> readers_;
  std::vector<char> buffer_;
  std::vector<std::string> texts_;
  std::vector<std::int64_t> published_ns_;  // by texts_' index
  std::uint64_t first_ = 0;                 // position of texts_[0]
  std::vector<float> latencies_us_;
  std::int64_t now_ns_ = 0;
  std::uint64_t wanted_ = 0;
  std::size_t complete_ = 0;
  std::size_t answered_ = 0;
  std::size_t gone_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t wrong_ = 0;
};

}  // namespace feedvault::bench
