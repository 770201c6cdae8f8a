#pragma once

#include <string>

#include "broker/parser.h"

namespace feedvault::broker::testing {

/// Writes every operation down as a line of text, so that two ways of parsing can be compared.
class RecordingSink final : public ParserSink {
 public:
  bool on_connect(std::string_view json) override { return add("CONNECT", {json}); }
  bool on_info(std::string_view json) override { return add("INFO", {json}); }
  bool on_ping() override { return add("PING", {}); }
  bool on_pong() override { return add("PONG", {}); }
  bool on_publish(const Publish& publish) override {
    // What the tail says must be what the parts say.
    if (!publish.tail.empty() && publish.tail != put_together(publish)) {
      ++wrong_tails;
    }
    tails += publish.tail.empty() ? 0 : 1;
    return add(publish.header_size.empty() ? "PUB" : "HPUB",
               {publish.subject,
                publish.reply,
                publish.header_size,
                publish.total_size,
                std::to_string(publish.header_bytes),
                publish.body});
  }
  bool on_subscribe(std::string_view subject,
                    std::string_view queue,
                    std::string_view sid) override {
    return add("SUB", {subject, queue, sid});
  }
  bool on_unsubscribe(std::string_view sid, std::int64_t max) override {
    return add("UNSUB", {sid, std::to_string(max)});
  }

  std::string log;
  int tails = 0;
  int wrong_tails = 0;
  int stop_after = -1;  // operations; the sink then returns false

 private:
  static std::string put_together(const Publish& publish) {
    std::string text;
    for (const std::string_view part : {publish.reply, publish.header_size}) {
      if (!part.empty()) {
        text.append(part).push_back(' ');
      }
    }
    return text.append(publish.total_size).append("\r\n").append(publish.body).append("\r\n");
  }
  bool add(std::string_view name, std::initializer_list<std::string_view> parts) {
    log.append(name);
    for (const std::string_view part : parts) {
      log.append("|").append(part);
    }
    log.push_back('\n');
    return stop_after < 0 || --stop_after > 0;
  }
};

}  // namespace feedvault::broker::testing
