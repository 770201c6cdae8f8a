#include "tests/integration/broker/byte_reader.h"

#include <utility>

namespace feedvault::broker::testing {

std::string ByteReader::receive_some(std::chrono::milliseconds timeout) {
  std::string received = std::exchange(rest_, {});
  if (received.empty()) {
    receive_more(received, in(timeout));
  }
  return received;
}

std::string ByteReader::receive_until(std::string_view text, std::chrono::milliseconds timeout) {
  const Deadline deadline = in(timeout);
  std::string received = std::exchange(rest_, {});
  const auto there = [&] {
    return received.size() >= text.size() &&
           received.compare(received.size() - text.size(), text.size(), text) == 0;
  };
  while (!there() && receive_more(received, deadline)) {
  }
  return received;
}

std::string ByteReader::receive(std::size_t bytes, std::chrono::milliseconds timeout) {
  const Deadline deadline = in(timeout);
  std::string received = std::exchange(rest_, {});
  while (received.size() < bytes && receive_more(received, deadline)) {
  }
  if (received.size() > bytes) {
    rest_ = received.substr(bytes);
    received.resize(bytes);
  }
  return received;
}

std::string ByteReader::receive_to_end(bool& closed, std::chrono::milliseconds timeout) {
  const Deadline deadline = in(timeout);
  std::string received = std::exchange(rest_, {});
  while (receive_more(received, deadline)) {
  }
  closed = closed_properly();
  return received;
}

}  // namespace feedvault::broker::testing
