#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/commands.h"
#include "storage/catalogue_reader.h"

namespace feedvault::cli {
namespace {

using storage::CatalogueReader;
using storage::QuarantinedMessage;

std::string feed_name(const Config& config, std::uint8_t number) {
  for (const FeedConfig& feed : config.feeds) {
    if (feed.number == number) {
      return feed.name;
    }
  }
  return std::to_string(number);
}

std::string dump(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::ordered_json to_json(const Config& config, const QuarantinedMessage& message) {
  return {{"id", message.id},
          {"feed", feed_name(config, message.feed)},
          {"message_id", message.message_id},
          {"stream_seq", message.stream_seq},
          {"timestamp", format_rfc3339_us(message.timestamp_us)},
          {"size", message.size},
          {"state", message.state},
          {"seq", message.seq},
          {"error", message.error}};
}

void print_hex(const std::string& data) {
  constexpr std::size_t kWidth = 16;
  constexpr std::size_t kShown = 1024;
  for (std::size_t at = 0; at < std::min(data.size(), kShown); at += kWidth) {
    std::string hex;
    std::string text;
    for (std::size_t i = at; i < std::min(data.size(), at + kWidth); ++i) {
      const auto byte = static_cast<unsigned char>(data[i]);
      char pair[4];
      std::snprintf(pair, sizeof(pair), "%02x ", static_cast<unsigned>(byte));
      hex += pair;
      text.push_back(byte >= 0x20 && byte < 0x7F ? data[i] : '.');
    }
    std::printf("  %06zx  %-48s %s\n", at, hex.c_str(), text.c_str());
  }
  if (data.size() > kShown) {
    std::printf("  ... %zu bytes in all\n", data.size());
  }
}

}  // namespace

int quarantine_list(const Config& config, const QuarantineListOptions& options) {
  std::uint8_t number = 0;
  if (!options.feed.empty()) {
    const FeedConfig* feed = find_feed(config, options.feed);
    if (feed == nullptr) {
      return kExitUsage;
    }
    number = feed->number;
  }
  const auto messages = CatalogueReader::create(config.mysql)->quarantined(number, options.limit);
  if (!messages) {
    return report("read the quarantine", messages.error());
  }
  if (options.json) {
    for (const QuarantinedMessage& message : *messages) {
      std::printf("%s\n", dump(to_json(config, message)).c_str());
    }
    return finish_output(kExitOk);
  }
  if (messages->empty()) {
    std::printf("The quarantine is empty.\n");
    return finish_output(kExitOk);
  }
  std::printf(
      "%8s  %-12s %-27s %8s  %-11s %s\n", "ID", "FEED", "CAPTURED", "BYTES", "STATE", "REASON");
  for (const QuarantinedMessage& message : *messages) {
    std::printf("%8llu  %-12s %-27s %8u  %-11s %s\n",
                static_cast<unsigned long long>(message.id),
                feed_name(config, message.feed).c_str(),
                format_rfc3339_us(message.timestamp_us).c_str(),
                message.size,
                message.state.c_str(),
                printable(message.error).c_str());
  }
  return finish_output(kExitOk);
}

int quarantine_show(const Config& config, std::uint64_t id) {
  const auto message = CatalogueReader::create(config.mysql)->find_quarantined(id);
  if (!message) {
    return report("quarantined message " + std::to_string(id), message.error());
  }
  std::printf("id          %llu\n", static_cast<unsigned long long>(message->id));
  std::printf("feed        %s\n", feed_name(config, message->feed).c_str());
  std::printf("message id  %s\n", printable(message->message_id).c_str());
  std::printf("captured    %s, stream sequence %llu\n",
              format_rfc3339_us(message->timestamp_us).c_str(),
              static_cast<unsigned long long>(message->stream_seq));
  std::printf("state       %s\n", message->state.c_str());
  if (message->seq != 0) {
    std::printf("became      %s:%llu\n",
                feed_name(config, message->feed).c_str(),
                static_cast<unsigned long long>(message->seq));
  }
  std::printf("reason      %s\n", printable(message->error, 2000).c_str());
  std::printf("data        %u bytes\n", message->size);
  print_hex(message->data);
  return finish_output(kExitOk);
}

int quarantine_export(const Config& config, std::uint64_t id) {
  const auto message = CatalogueReader::create(config.mysql)->find_quarantined(id);
  if (!message) {
    return report("quarantined message " + std::to_string(id), message.error());
  }
  if (std::fwrite(message->data.data(), 1, message->data.size(), stdout) != message->data.size() ||
      std::fflush(stdout) != 0) {
    return report_write(errno);
  }
  return kExitOk;
}

int quarantine_requeue(const Config& config, const RequeueOptions& options) {
  const auto reader = CatalogueReader::create(config.mysql);
  std::vector<std::uint64_t> ids = options.ids;
  if (options.all) {
    const FeedConfig* feed = find_feed(config, options.feed);
    if (feed == nullptr) {
      return kExitUsage;
    }
    const auto messages = reader->quarantined(feed->number, 1'000'000);
    if (!messages) {
      return report("read the quarantine", messages.error());
    }
    for (auto it = messages->rbegin(); it != messages->rend(); ++it) {  // oldest first
      if (it->state == "quarantined" || it->state == "failed") {
        ids.push_back(it->id);
      }
    }
  }
  int exit_code = kExitOk;
  std::size_t requested = 0;
  for (const std::uint64_t id : ids) {
    const Status status = reader->request_requeue(id);
    if (status.ok()) {
      ++requested;
    } else if (status.code() == StatusCode::kDuplicate) {
      std::fprintf(stderr, "feedvault: %s\n", status.message().c_str());
    } else {
      exit_code = report("requeue " + std::to_string(id), status);
    }
  }
  std::printf("%zu requested; the controller catalogues them, see feedvault quarantine list\n",
              requested);
  return finish_output(exit_code);
}

}  // namespace feedvault::cli
