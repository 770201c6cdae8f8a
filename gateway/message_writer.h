#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/feed.h"

namespace feedvault::gateway {

/// A message as it is written out; borrows everything.
struct MessageView {
  std::uint64_t seq = 0;
  std::int64_t timestamp_us = 0;
  std::string_view id{};
  std::string_view data{};
  std::string_view body{};  // JSON; empty: decoded from data
};

/// Writes messages of one feed as text, appended to a string. One thread.
class MessageWriter {
 public:
  explicit MessageWriter(const Feed& feed);

  /// {"seq":12,"id":"...","timestamp":"...","body":{...}}, on one line. Bytes that are no message
  /// of the feed's type give "body":null and an "error".
  void append_json(const MessageView& message, std::string& out);
  /// A server-sent event: its id is the position, its data the same JSON.
  void append_event(const MessageView& message, std::string& out);
  /// The event that says what cannot be had: positions [first, last].
  void append_gap_event(std::uint64_t first, std::uint64_t last, std::string& out) const;

  /// CSV (RFC 4180): seq, id, timestamp and the fields of the message; what has parts is JSON text.
  void append_csv_header(std::string& out) const;
  void append_csv(const MessageView& message, std::string& out);

  /// The message's body in JSON; lives until the next call. kCorruption when it is none.
  Result<std::string_view> body_of(const MessageView& message);

 private:
  void append_time(std::int64_t unix_us, std::string& out);

  const Feed& feed_;
  std::unique_ptr<MessageSchema::Decoder> decoder_;
  std::string body_;
  std::int64_t second_ = -1;  // the one that second_text_ is
  std::string second_text_;   // "2026-11-21T20:48:54."
};

/// A field of a CSV line: quoted where it must be.
void append_csv_field(std::string& out, std::string_view text);

}  // namespace feedvault::gateway
