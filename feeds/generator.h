#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace feedvault {

/// Makes a feed's messages, one after another. The same seed gives the same bytes in the same
/// order, on every machine and at any rate: nothing comes from the clock. One thread.
class Generator {
 public:
  virtual ~Generator() = default;

  /// The next message, serialised, in place of what `message` held.
  virtual void next(std::string& message) = 0;

  std::string next() {
    std::string message;
    next(message);
    return message;
  }
};

/// Matches of all sports that go on at the same time, play by play: `data_event` is a JSON object
/// with the clock, the score of both sides and what happened. Scores never fall; a match that
/// ended makes room for a new one.
std::unique_ptr<Generator> new_event_generator(std::uint64_t seed);

/// Executions of a handful of symbols, whose prices walk at random in steps of a cent.
std::unique_ptr<Generator> new_execution_generator(std::uint64_t seed);

/// The generator for a feed's name; null when there is none.
std::unique_ptr<Generator> new_generator(std::string_view feed, std::uint64_t seed);

}  // namespace feedvault
