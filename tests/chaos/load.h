#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "tests/support/installation.h"

namespace feedvault::testing {

inline unsigned number_from_environment(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise
                                          : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

/// Keeps both feeds busy from threads of their own until it goes: events as plain PUBs without ids,
/// executions acknowledged and with ids. Some hundred messages a second each.
class Load {
 public:
  enum class Events : std::uint8_t {
    kSure,    // the broker stays up: what was published is noted as sent
    kUnsure,  // the broker may die: what was published is only offered (see Producer::offer())
  };

  explicit Load(Installation& installation, Events events = Events::kSure)
      : events_([this, &producer = installation.events().producer, events] {
          repeat([&] { events == Events::kSure ? producer.plain(1) : producer.offer(); });
        }),
        executions_([this, &producer = installation.executions().producer] {
          repeat([&] { producer.acknowledged(1); });
        }) {}
  ~Load() {
    stopping_ = true;
    events_.join();
    executions_.join();
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

 private:
  template <typename Send>
  void repeat(Send send) {
    while (!stopping_) {
      try {
        send();
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the rate
    }
  }

  std::atomic<bool> stopping_{false};
  std::thread events_;
  std::thread executions_;
};

/// What a killed broker had captured of plain PUBs, only its stream can tell: that is noted as
/// sent. It must be a part of what was offered, in order, and nothing twice. Requires: the broker
/// is up, and no Load offers any more.
inline ::testing::AssertionResult note_captured(FeedUnderTest& feed) {
  feed.producer.offer_last();
  const std::vector<std::string> offered = feed.producer.offered();
  auto next = offered.begin();
  for (const auto& captured : feed.checker.ingest_stream()) {
    next = std::find(next, offered.end(), captured.payload);
    if (next == offered.end()) {
      return ::testing::AssertionFailure()
             << "message " << captured.stream_seq << " was captured out of order or twice";
    }
    ++next;
    feed.producer.note(
        {.id = captured.id_generated ? std::string() : captured.id, .payload = captured.payload});
  }
  return ::testing::AssertionSuccess();
}

}  // namespace feedvault::testing
