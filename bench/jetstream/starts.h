#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace feedvault::bench {

/// From the start of the program to the first answer about a stream with all its messages.
struct StartTimes {
  double clean_ms = 0;   // after SIGTERM
  double killed_ms = 0;  // after SIGKILL
};

/// Stores so many messages of 128 bytes, each with a Nats-Msg-Id of its own, stops the server both
/// ways and starts it again. `command` starts it, but for "-p PORT", with a folder that lasts.
/// Throws std::runtime_error when a message is missing, or the server does not answer.
StartTimes time_starts(const std::vector<std::string>& command, std::uint64_t messages);

}  // namespace feedvault::bench
