#include "tests/support/feed_stream.h"

#include <atomic>
#include <stdexcept>

#include "base/clock.h"
#include "tests/support/process.h"

namespace feedvault::testing {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<nats::Connection> connect(const NatsConfig& config) {
  nats::ConnectionOptions options;
  options.name = "feed-stream";
  auto connection = nats::Connection::open(config, options);
  if (!connection) {
    throw std::runtime_error(connection.error().to_string());
  }
  return std::move(connection).value();
}

}  // namespace

FeedStream::FeedStream(const NatsConfig& config, std::string feed)
    : feed_(std::move(feed)),
      name_("FEED_" + feed_),
      connection_(connect(config)),
      jetstream_(*connection_, 5s) {}

void FeedStream::create(std::uint64_t first_seq) {
  nats::StreamConfig config;
  config.name = name_;
  config.subjects = {"feed." + feed_};
  config.first_seq = first_seq;
  Status status;
  const bool created = eventually([&] {
    status = jetstream_.create_stream(config).status();
    return status.ok();
  });
  if (!created) {
    throw std::runtime_error("create " + name_ + ": " + status.to_string());
  }
}

void FeedStream::remove() {
  if (const Status status = jetstream_.delete_stream(name_); !status.ok()) {
    throw std::runtime_error("delete " + name_ + ": " + status.to_string());
  }
}

std::string FeedStream::payload_of(std::uint64_t seq, std::size_t padding) {
  return "payload " + std::to_string(seq) + std::string(padding, '.');
}

void FeedStream::publish(std::uint64_t first, std::uint64_t last, std::size_t padding) {
  std::atomic<std::uint64_t> stored{first - 1};
  std::atomic<bool> failed{false};
  const std::string inbox = connection_->new_inbox();
  auto acks = connection_->subscribe(inbox, [&](nats::Message message) {
    const auto ack = nats::parse_pub_ack(message);
    if (!ack || ack->error_code != 0 || ack->seq != stored + 1) {
      failed = true;
    } else {
      ++stored;
    }
  });
  const std::string subject = "feed." + feed_;
  for (std::uint64_t seq = first; seq <= last && !failed; ++seq) {
    const std::string number = std::to_string(seq);
    const std::string before = std::to_string(seq - 1);
    const std::string id = id_of(seq);
    const std::string unique = feed_ + "-" + number;
    const std::string time = format_rfc3339_us(timestamp_us_of(seq));
    const nats::Header headers[] = {{"Nats-Msg-Id", unique},
                                    {"Nats-Expected-Last-Sequence", before},
                                    {"Feed-Id", id},
                                    {"Feed-Seq", number},
                                    {"Feed-Timestamp", time}};
    const Status status = connection_->publish({.subject = subject,
                                                .reply = inbox,
                                                .headers = headers,
                                                .payload = payload_of(seq, padding)});
    if (!status.ok()) {
      throw std::runtime_error(status.to_string());
    }
  }
  if (!eventually([&] { return failed || stored == last; }, 60s) || failed) {
    throw std::runtime_error("publishing to " + name_ + " failed after " + std::to_string(stored));
  }
}

void FeedStream::publish_payload(std::uint64_t seq, std::string_view payload) {
  const std::string before = std::to_string(seq - 1);
  const nats::Header headers[] = {{"Nats-Expected-Last-Sequence", before}};
  const std::string subject = "feed." + feed_;
  const auto stored =
      jetstream_.publish({.subject = subject, .reply = {}, .headers = headers, .payload = payload});
  if (!stored || *stored != seq) {
    throw std::runtime_error("publish: " + stored.status().to_string());
  }
}

}  // namespace feedvault::testing
