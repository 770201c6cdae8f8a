#include <unistd.h>

#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/line_writer.h"
#include "cli/signal_watch.h"
#include "client/stream_service.h"

namespace feedvault::cli {
namespace {

using namespace std::chrono_literals;

/// Prints one message as a line.
class Printer {
 public:
  Printer(const MessageSchema& schema, bool json) : decoder_(schema.new_decoder()), json_(json) {}

  const std::string& line(const FeedMessage& message) {
    body_.clear();
    const Status decoded = decoder_->to_json(message.data, body_);
    const std::string time = format_rfc3339_us(message.timestamp_us);
    line_.clear();
    if (json_) {
      line_ += "{\"seq\":" + std::to_string(message.position.seq) + ",\"id\":";
      line_ += quoted(std::string(message.id));
      line_ += ",\"timestamp\":\"" + time + "\",\"body\":";
      line_ += decoded.ok() ? body_ : "null,\"error\":" + quoted(decoded.message());
      line_ += "}\n";
      return line_;
    }
    line_ += message.position.to_string() + ' ' + time + ' ';
    line_ += printable(std::string(message.id)) + ' ';
    line_ += decoded.ok() ? body_
                          : "(" + std::to_string(message.data.size()) +
                                " bytes, not decodable: " + decoded.message() + ")";
    line_ += '\n';
    return line_;
  }

 private:
  static std::string quoted(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  std::unique_ptr<MessageSchema::Decoder> decoder_;
  const bool json_;
  std::string body_;
  std::string line_;
};

}  // namespace

int tail(const Config& config, const TailOptions& options) {
  const FeedConfig* feed = find_feed(config, options.feed);
  if (feed == nullptr) {
    return kExitUsage;
  }
  const auto start = Start::parse(options.from);
  if (!start) {
    return report("--from", start.error());
  }
  const auto schema = MessageSchema::load(feed->proto, feed->message);
  if (!schema) {
    return report("feed " + feed->name, schema.error());
  }
  Printer printer(**schema, options.json);
  LineWriter writer(STDOUT_FILENO);
  StreamService::Options service_options;
  service_options.name = "feedvault-tail";
  auto service = StreamService::connect(config.nats, std::move(service_options));
  if (!service) {
    return report("connect to the broker", service.error());
  }
  SubscribeOptions subscription;
  subscription.feed = feed->name;
  subscription.start = *start;
  subscription.history = options.history;
  std::uint64_t printed = 0;  // the callback's thread only
  const Status subscribed = (*service)->subscribe(subscription, [&](const FeedMessage& message) {
    if (!writer.add(printer.line(message))) {
      return false;
    }
    if (++printed == options.count) {
      writer.finish();
    }
    return true;
  });
  if (!subscribed.ok()) {
    return report("subscribe", subscribed);
  }
  const SignalWatch watch([&writer] { writer.finish(); });
  const int error = writer.run();
  if (error == 0) {
    // The callback is refused from now on, so draining ends at once.
    static_cast<void>((*service)->drain(2s));
  }
  service->reset();  // before what its callback uses
  return error == 0 ? kExitOk : report_write(error);
}

}  // namespace feedvault::cli
