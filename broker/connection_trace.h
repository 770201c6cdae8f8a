#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "broker/account.h"
#include "broker/connect_options.h"
#include "broker/options.h"
#include "broker/parser.h"

namespace feedvault::broker {

/// What -V has written to the log: the operations of one connection both ways, in nats-server's
/// words, payloads cut to max_traced_msg_len. What a client says of itself to be let in is not
/// among them, and whatever it sends stays one line that no terminal obeys.
class ConnectionTrace {
 public:
  /// Null: these options do not have this account's connections traced.
  static std::unique_ptr<ConnectionTrace> wanted(const LoggingOptions& logging,
                                                 Account account,
                                                 std::uint64_t id,
                                                 const std::string& ip);

  /// `operation` without its end of line.
  void received(std::string_view operation) const;
  void sent(std::string_view operation) const;

  void connect(const ConnectOptions& options) const;
  void publish(const Publish& publish) const;
  /// To the subscription `sid`, with its headers or without.
  void delivery(std::string_view sid, const Publish& message, bool with_headers) const;

 private:
  ConnectionTrace(std::string who, std::size_t payload_bytes_max);

  const std::string who_;
  const std::size_t payload_bytes_max_;  // 0: all
};

}  // namespace feedvault::broker
