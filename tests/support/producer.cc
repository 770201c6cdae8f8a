#include "tests/support/producer.h"

#include <chrono>
#include <stdexcept>
#include <thread>

#include "proto/event.pb.h"
#include "proto/execution.pb.h"
#include "tests/support/process.h"

namespace feedvault::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// With an id the same is sent again soon: the broker may have died. Without one it cannot be.
constexpr milliseconds kAckTimeout{1000};
constexpr std::chrono::seconds kGiveUp{60};
// Between attempts at a broker that is away; a local one answers a request in a fraction of this.
constexpr milliseconds kRetry{10};

}  // namespace

std::string valid_payload(const std::string& feed, std::uint64_t number) {
  const std::string text = std::to_string(number);
  if (feed == "events") {
    event message;
    message.set_sport(static_cast<event::sport_type>(1 + number % 6));
    message.set_match_title("match " + text);
    message.set_data_event("goal");
    return message.SerializeAsString();
  }
  execution message;
  message.set_symbol("S" + text);
  message.set_market("XNYS");
  message.set_price(static_cast<float>(number % 1000) / 8);
  message.set_quantity(static_cast<float>(number % 100));
  message.set_executionepoch(static_cast<std::int64_t>(number));
  message.set_statesymbol("NY");
  return message.SerializeAsString();
}

Producer::Producer(const NatsConfig& broker, const FeedConfig& feed) : feed_(feed) {
  auto connection = nats::Connection::open(
      broker, {.name = "producer " + feed.name, .require_at_open = false, .on_state = nullptr});
  if (!connection.has_value()) {
    throw std::runtime_error("producer: " + connection.error().to_string());
  }
  connection_ = std::move(connection).value();
  jetstream_ = std::make_unique<nats::JetStream>(*connection_, kAckTimeout);
  patient_jetstream_ = std::make_unique<nats::JetStream>(*connection_, kGiveUp);
}

std::string Producer::fresh_payload() {
  return valid_payload(feed_.name, next_++);
}

// After a restart of the broker the connection comes back by itself.
void Producer::wait_until_connected() {
  eventually([this] { return connection_->connected(); });
}

void Producer::plain(std::size_t count) {
  wait_until_connected();
  for (std::size_t i = 0; i < count; ++i) {
    const std::string payload = fresh_payload();
    const Status queued = connection_->publish(
        {.subject = feed_.subjects.front(), .reply = {}, .headers = {}, .payload = payload});
    if (!queued.ok()) {
      throw std::runtime_error("plain publish: " + queued.to_string());
    }
    note({.id = {}, .payload = payload});
  }
  if (const Status flushed = connection_->flush(std::chrono::seconds(10)); !flushed.ok()) {
    throw std::runtime_error("flush of plain publishes: " + flushed.to_string());
  }
}

void Producer::acknowledged(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    Sent message{.id = feed_.name + "/" + std::to_string(next_), .payload = fresh_payload()};
    publish(message.payload, message.id);
    note(std::move(message));
  }
}

std::string Producer::payload_to_offer() {
  std::string payload = fresh_payload();
  MutexLock lock(mutex_);
  offered_.push_back(payload);
  return payload;
}

void Producer::offer() {
  const std::string payload = payload_to_offer();
  // A refusal is no reason to stop: it is what a producer in the field sees.
  const Status ignored = connection_->publish(
      {.subject = feed_.subjects.front(), .reply = {}, .headers = {}, .payload = payload});
  static_cast<void>(ignored);
}

void Producer::offer_last() {
  const std::string id = feed_.name + "/" + std::to_string(next_);
  publish(payload_to_offer(), id);
}

std::vector<std::string> Producer::offered() const {
  MutexLock lock(mutex_);
  return offered_;
}

std::uint64_t Producer::publish(std::string_view payload, std::string_view id) {
  const nats::Header header{"Nats-Msg-Id", id};
  const std::span<const nats::Header> headers(&header, id.empty() ? 0U : 1U);
  const auto deadline = steady_clock::now() + kGiveUp;
  wait_until_connected();
  for (;;) {
    const auto stored = (id.empty() ? patient_jetstream_ : jetstream_)
                            ->publish({.subject = feed_.subjects.front(),
                                       .reply = {},
                                       .headers = headers,
                                       .payload = payload});
    if (stored.has_value()) {
      return *stored;
    }
    // Without an id, a second attempt could store the message twice.
    if (steady_clock::now() > deadline || id.empty()) {
      throw std::runtime_error("publish: " + stored.error().to_string());
    }
    std::this_thread::sleep_for(kRetry);
  }
}

void Producer::note(Sent message) {
  MutexLock lock(mutex_);
  sent_.push_back(std::move(message));
}

void Producer::note(const std::vector<Sent>& messages) {
  MutexLock lock(mutex_);
  sent_.insert(sent_.end(), messages.begin(), messages.end());
}

std::vector<Sent> Producer::sent() const {
  MutexLock lock(mutex_);
  return sent_;
}

std::size_t Producer::sent_count() const {
  MutexLock lock(mutex_);
  return sent_.size();
}

}  // namespace feedvault::testing
