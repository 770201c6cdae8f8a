#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "client/nats/connection.h"

namespace feedvault::nats {

/// The part of a stream's configuration that we decide. Names and meaning as in the JetStream API.
struct StreamConfig {
  std::string name;
  std::string description;
  std::vector<std::string> subjects;
  std::int64_t max_age_ns = 0;  // 0: for ever
  std::int64_t max_bytes = -1;  // -1: unlimited
  std::int64_t max_msgs = -1;
  std::int64_t max_msgs_per_subject = -1;
  std::uint32_t replicas = 1;
  std::int64_t duplicate_window_ns = 0;
  bool deny_delete = false;
  bool deny_purge = false;
  bool allow_direct = false;
  std::uint64_t first_seq = 0;  // 0 or 1: from the start. Needs a 2.10 server.
  bool discard_new = false;
};

struct StreamInfo {
  StreamConfig config;
  std::int64_t created_ns = 0;  // Unix
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  std::uint64_t first_seq = 0;  // of an empty stream: last_seq + 1
  std::uint64_t last_seq = 0;
  std::int64_t last_time_ns = 0;

  /// Where somebody who has read up to `seq` goes on: what was purged unread does not wait for him.
  std::uint64_t next_behind(std::uint64_t seq) const { return std::max(seq + 1, first_seq); }
  /// How many sequences wait for him.
  std::uint64_t waiting_behind(std::uint64_t seq) const {
    const std::uint64_t next = next_behind(seq);
    return last_seq < next ? 0 : last_seq - next + 1;
  }
};

/// A message read out of a stream by sequence.
struct StoredMessage {
  std::uint64_t seq = 0;
  std::int64_t time_ns = 0;  // when the stream stored it, Unix
  std::string subject;
  std::string headers;  // the raw block, "NATS/1.0\r\n...", or empty
  std::string payload;

  /// Value of a header in `headers`, by exact name.
  std::optional<std::string> header(std::string_view name) const;
};

/// The JetStream API over a connection. Every call is one request and waits for its answer. Error
/// answers of the API become: 404 kNotFound; 10058 and other 400 kInvalidArgument; 503 and no
/// answer kUnavailable or kTimeout; the API's own text and err_code are in the message. Any thread.
class JetStream {
 public:
  JetStream(Connection& connection, std::chrono::milliseconds timeout)
      : connection_(connection), timeout_(timeout) {}

  Result<StreamInfo> stream_info(const std::string& name);
  Result<StreamInfo> create_stream(const StreamConfig& config);
  /// Changes what StreamConfig has and leaves the rest of the stream's configuration as it is.
  Result<StreamInfo> update_stream(const StreamConfig& config);
  Status delete_stream(const std::string& name);
  /// Removes everything below `seq`.
  Status purge_below(const std::string& name, std::uint64_t seq);
  /// From the stream's leader, never from a replica that may be behind. kNotFound when it is gone.
  Result<StoredMessage> get_message(const std::string& name, std::uint64_t seq);
  /// First stream sequence stored at or after the time; last_seq + 1 when there is none. Asks for
  /// about log2(messages) of them.
  Result<std::uint64_t> seq_at_time(const std::string& name, std::int64_t time_ns);
  /// The same by a time of the caller's own, which must not fall as sequences grow.
  using TimeOf = std::function<std::int64_t(const StoredMessage&)>;
  Result<std::uint64_t> seq_at_time(const std::string& name,
                                    std::int64_t time_ns,
                                    const TimeOf& time_of);

  /// Publishes and waits for the PubAck; returns the stream sequence. The acknowledgement of a
  /// duplicate is a success with the first one's sequence. kNotFound: no stream captures it.
  Result<std::uint64_t> publish(const Outgoing& message);

 private:
  Result<std::string> call(const std::string& subject, const std::string& request);

  Connection& connection_;
  std::chrono::milliseconds timeout_;
};

/// A PubAck or the error in its place.
struct PubAck {
  std::string stream;
  std::uint64_t seq = 0;
  bool duplicate = false;
  int error_code = 0;  // the API's err_code, 0: none. -1: no responders
  std::string error_text;
  /// 10071 "wrong last sequence: N": that N.
  std::optional<std::uint64_t> actual_last_seq;
};

/// Reads the answer to a publish. kProtocol when it is neither.
Result<PubAck> parse_pub_ack(const Message& message);
/// The same for the payload alone, which cannot be the no-responders answer.
Result<PubAck> parse_pub_ack(std::string_view payload);

}  // namespace feedvault::nats
