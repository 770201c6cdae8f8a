#include "broker/streams/status_message.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::string_view kHeaderLine = "NATS/1.0";
constexpr std::string_view kCrlf = "\r\n";

}  // namespace

std::string status_block(std::string_view status) {
  std::string block(kHeaderLine);
  block.append(" ").append(status).append(kCrlf).append(kCrlf);
  return block;
}

std::string status_block(std::string_view status, std::int64_t messages, std::int64_t bytes) {
  std::string block(kHeaderLine);
  block.append(" ").append(status).append(kCrlf);
  block.append("Nats-Pending-Messages: ").append(std::to_string(messages)).append(kCrlf);
  block.append("Nats-Pending-Bytes: ").append(std::to_string(bytes)).append(kCrlf);
  block.append(kCrlf);
  return block;
}

std::string heartbeat_block(std::uint64_t consumer_seq,
                            std::uint64_t stream_seq,
                            std::string_view stalled) {
  std::string block("NATS/1.0 100 Idle Heartbeat\r\n");
  block.append("Nats-Last-Consumer: ").append(std::to_string(consumer_seq)).append(kCrlf);
  block.append("Nats-Last-Stream: ").append(std::to_string(stream_seq)).append(kCrlf);
  if (!stalled.empty()) {
    block.append("Nats-Consumer-Stalled: ").append(stalled).append(kCrlf);
  }
  block.append(kCrlf);
  return block;
}

void headers_only_block(std::string_view headers, std::size_t payload_bytes, std::string& out) {
  if (headers.size() >= kHeaderLine.size() + 2 * kCrlf.size() && headers.ends_with("\r\n\r\n")) {
    out.assign(headers.substr(0, headers.size() - kCrlf.size()));
  } else {
    out.assign(kHeaderLine).append(kCrlf);
  }
  out.append("Nats-Msg-Size: ").append(std::to_string(payload_bytes));
  out.append(kCrlf).append(kCrlf);
}

}  // namespace feedvault::broker::streams
