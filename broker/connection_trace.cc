#include "broker/connection_trace.h"

#include <utility>

#include <fmt/format.h>

#include "base/log.h"

namespace feedvault::broker {
namespace {

std::string one_line(std::string_view text) {
  const std::string quoted = go_quoted(text);
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

ConnectionTrace::ConnectionTrace(std::string who, std::size_t payload_bytes_max)
    : who_(std::move(who)), payload_bytes_max_(payload_bytes_max) {}

std::unique_ptr<ConnectionTrace> ConnectionTrace::wanted(const LoggingOptions& logging,
                                                         Account account,
                                                         std::uint64_t id,
                                                         const std::string& ip) {
  if (!logging.trace || (account == Account::kSystem && !logging.trace_verbose)) {
    return nullptr;
  }
  return std::unique_ptr<ConnectionTrace>(new ConnectionTrace(
      fmt::format("cid={} ip={}", id, ip), static_cast<std::size_t>(logging.traced_bytes_max)));
}

void ConnectionTrace::received(std::string_view operation) const {
  logger("broker")->trace("{} <<- [{}]", who_, one_line(operation));
}

void ConnectionTrace::sent(std::string_view operation) const {
  logger("broker")->trace("{} ->> [{}]", who_, one_line(operation));
}

void ConnectionTrace::connect(const ConnectOptions& options) const {
  received(
      fmt::format("CONNECT {{\"verbose\":{},\"pedantic\":{},\"echo\":{},\"headers\":{},"
                  "\"no_responders\":{},\"protocol\":{},\"name\":{},\"lang\":{},\"version\":{}}}",
                  options.verbose,
                  options.pedantic,
                  options.echo,
                  options.headers,
                  options.no_responders,
                  options.protocol,
                  json_quoted(options.name),
                  json_quoted(options.lang),
                  json_quoted(options.version)));
}

void ConnectionTrace::publish(const Publish& publish) const {
  std::string line =
      fmt::format("{} {}", publish.header_size.empty() ? "PUB" : "HPUB", publish.subject);
  for (const std::string_view part : {publish.reply, publish.header_size, publish.total_size}) {
    if (!part.empty()) {
      line.append(" ").append(part);
    }
  }
  received(line);
  const bool cut = payload_bytes_max_ > 0 && publish.body.size() > payload_bytes_max_;
  logger("broker")->trace("{} <<- MSG_PAYLOAD: [\"{}{}\"]",
                          who_,
                          one_line(cut ? publish.body.substr(0, payload_bytes_max_) : publish.body),
                          cut ? "..." : "");
}

void ConnectionTrace::delivery(std::string_view sid,
                               const Publish& message,
                               bool with_headers) const {
  const bool headers = message.header_bytes > 0 && with_headers;
  std::string line = fmt::format("{} {} {}", headers ? "HMSG" : "MSG", message.subject, sid);
  if (!message.reply.empty()) {
    line.append(" ").append(message.reply);
  }
  if (headers) {
    line += fmt::format(" {}", message.header_bytes);
  }
  const std::size_t left_out = headers ? 0 : message.header_bytes;
  sent(line + fmt::format(" {}", message.body.size() - left_out));
}

}  // namespace feedvault::broker
