#include "tests/support/checker.h"

#include <map>
#include <stdexcept>

#include <fmt/format.h>

#include "base/clock.h"
#include "client/nats/jetstream.h"
#include "client/nats/stream_reader.h"
#include "tests/support/process.h"

namespace feedvault::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kApiTimeout{2000};
constexpr std::size_t kRowsAtOnce = 4096;
constexpr std::size_t kBytesAtOnce = 16U << 20U;

template <typename T>
T must(Result<T> result, const std::string& what) {
  if (!result.has_value()) {
    throw std::runtime_error(what + ": " + result.error().to_string());
  }
  return std::move(result).value();
}

// Printable and short: payloads are binary.
std::string show(std::string_view bytes) {
  std::string text;
  for (const char c : bytes.substr(0, 40)) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte >= 0x20 && byte < 0x7f ? fmt::format("{}", c) : fmt::format("\\x{:02x}", byte);
  }
  return fmt::format("\"{}{}\" ({} bytes)", text, bytes.size() > 40 ? "..." : "", bytes.size());
}

std::string show(const Delivered& message) {
  return fmt::format("seq {} id {} time {} payload {}",
                     message.seq,
                     show(message.id),
                     format_rfc3339_us(message.timestamp_us),
                     show(message.payload));
}

// Empty when equal, else the first difference in words.
std::string difference(const std::string& name_a,
                       const std::vector<Delivered>& a,
                       const std::string& name_b,
                       const std::vector<Delivered>& b) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i] != b[i]) {
      return fmt::format("{} and {} differ at place {}:\n  {}\n  {}",
                         name_a,
                         name_b,
                         i + 1,
                         show(a[i]),
                         show(b[i]));
    }
  }
  if (a.size() != b.size()) {
    const auto& longer = a.size() > b.size() ? a : b;
    return fmt::format("{} holds {} messages, {} holds {}; first one more:\n  {}",
                       name_a,
                       a.size(),
                       name_b,
                       b.size(),
                       show(longer[std::min(a.size(), b.size())]));
  }
  return {};
}

std::string sent_difference(const std::vector<Sent>& sent,
                            const std::vector<Delivered>& rows,
                            const std::string& ingest_stream) {
  for (std::size_t i = 0; i < std::min(sent.size(), rows.size()); ++i) {
    const bool id_fits =
        sent[i].id.empty() ? rows[i].id.starts_with(ingest_stream + "-") : rows[i].id == sent[i].id;
    if (rows[i].seq != i + 1 || rows[i].payload != sent[i].payload || !id_fits) {
      return fmt::format("message {} was sent with id {} payload {}, the table holds there\n  {}",
                         i + 1,
                         show(sent[i].id),
                         show(sent[i].payload),
                         show(rows[i]));
    }
  }
  if (sent.size() < rows.size()) {
    return fmt::format("{} messages were sent, the table holds {}; first one more:\n  {}",
                       sent.size(),
                       rows.size(),
                       show(rows[sent.size()]));
  }
  if (sent.size() > rows.size()) {
    return fmt::format("{} messages were sent, the table holds {}; first one missing: id {} {}",
                       sent.size(),
                       rows.size(),
                       show(sent[rows.size()].id),
                       show(sent[rows.size()].payload));
  }
  return {};
}

// The whole stream, oldest first.
std::vector<nats::StreamMessage> read_stream(nats::Connection& connection,
                                             const std::string& stream) {
  nats::JetStream jetstream(connection, kApiTimeout);
  const auto info = must(jetstream.stream_info(stream), "information about " + stream);
  std::vector<nats::StreamMessage> messages;
  if (info.messages == 0) {
    return messages;
  }
  auto reader = must(nats::StreamReader::open(connection, stream, 1, {}), "reading " + stream);
  while (messages.empty() || messages.back().stream_seq < info.last_seq) {
    messages.push_back(
        must(reader->next(steady_clock::now() + std::chrono::seconds(5)), "reading " + stream));
  }
  return messages;
}

std::string header(const nats::StreamMessage& message, const char* name) {
  return std::string(message.message.header(name).value_or(""));
}

/// Survives its subscriber's restarts, which are this process's. (The file store's two syncs a
/// message would keep the disk busier than all that is tested.)
class MemoryPositions final : public PositionStore {
 public:
  Result<std::optional<std::uint64_t>> load(const std::string& feed) override {
    MutexLock lock(mutex_);
    const auto found = seqs_.find(feed);
    return found == seqs_.end() ? std::optional<std::uint64_t>() : found->second;
  }
  Status save(const std::string& feed, std::uint64_t seq) override {
    MutexLock lock(mutex_);
    seqs_[feed] = seq;
    return {};
  }

 private:
  Mutex mutex_;
  std::map<std::string, std::uint64_t> seqs_ GUARDED_BY(mutex_);
};

}  // namespace

Subscriber::Subscriber(NatsConfig broker, std::string feed)
    : broker_(std::move(broker)),
      feed_(std::move(feed)),
      positions_(std::make_unique<MemoryPositions>()) {}

Subscriber::~Subscriber() {
  stop();
}

void Subscriber::start() {
  service_ =
      must(StreamService::connect(
               broker_, {.name = "subscriber " + feed_, .on_state = nullptr, .on_gap = nullptr}),
           "subscriber");
  const SubscribeOptions options{
      .feed = feed_, .start = Start::at_stored(), .positions = positions_.get()};
  const Status subscribed = service_->subscribe(options, [this](const FeedMessage& message) {
    MutexLock lock(mutex_);
    received_.push_back({.seq = message.position.seq,
                         .id = std::string(message.id),
                         .timestamp_us = message.timestamp_us,
                         .payload = std::string(message.data)});
    return true;
  });
  if (!subscribed.ok()) {
    throw std::runtime_error("subscribe: " + subscribed.to_string());
  }
}

void Subscriber::stop() {
  service_.reset();
}

std::vector<Delivered> Subscriber::received() const {
  MutexLock lock(mutex_);
  return received_;
}

std::size_t Subscriber::received_count() const {
  MutexLock lock(mutex_);
  return received_.size();
}

Checker::Checker(Places places)
    : places_(std::move(places)), reader_(storage::CatalogueReader::create(places_.mysql)) {}

nats::Connection& Checker::connection() {
  if (connection_ == nullptr) {
    connection_ = must(
        nats::Connection::open(places_.broker,
                               {.name = "checker", .require_at_open = false, .on_state = nullptr}),
        "checker");
  }
  if (!eventually([this] { return connection_->connected(); })) {
    throw std::runtime_error("checker: the broker is away");
  }
  return *connection_;
}

std::vector<Delivered> Checker::table() {
  std::vector<Delivered> rows;
  for (;;) {
    const std::uint64_t next = rows.empty() ? 0 : rows.back().seq + 1;
    auto some =
        must(reader_->read_range(places_.feed.number, next, kRowsAtOnce, kBytesAtOnce), "table");
    if (some.empty()) {
      return rows;
    }
    for (storage::Row& row : some) {
      rows.push_back({row.seq, std::move(row.id), row.timestamp_us, std::move(row.data)});
    }
  }
}

std::vector<Delivered> Checker::feed_stream() {
  std::vector<Delivered> messages;
  for (const auto& message : read_stream(connection(), places_.feed.feed_stream())) {
    const std::string seq = std::to_string(message.stream_seq);
    if (header(message, "Feed-Seq") != seq ||
        header(message, "Nats-Msg-Id") != places_.feed.name + "-" + seq) {
      throw std::runtime_error(fmt::format("the feed stream's message {} has Feed-Seq {} and id {}",
                                           seq,
                                           header(message, "Feed-Seq"),
                                           header(message, "Nats-Msg-Id")));
    }
    const auto time_ns = must(parse_rfc3339_ns(header(message, "Feed-Timestamp")),
                              "Feed-Timestamp of message " + seq);
    messages.push_back({message.stream_seq,
                        header(message, "Feed-Id"),
                        time_ns / 1000,
                        std::string(message.message.payload())});
  }
  return messages;
}

std::vector<Checker::Captured> Checker::ingest_stream() {
  const std::string stream = places_.feed.ingest_stream();
  nats::JetStream jetstream(connection(), kApiTimeout);
  const auto created_s =
      must(jetstream.stream_info(stream), "information about " + stream).created_ns / 1'000'000'000;
  std::vector<Captured> messages;
  for (const auto& message : read_stream(connection(), stream)) {
    Captured captured{.stream_seq = message.stream_seq,
                      .id = header(message, "Nats-Msg-Id"),
                      .timestamp_us = message.time_ns / 1000,
                      .payload = std::string(message.message.payload())};
    if (captured.id.empty()) {
      captured.id_generated = true;
      captured.id = fmt::format("{}-{}-{}", stream, created_s, captured.stream_seq);
    }
    messages.push_back(std::move(captured));
  }
  return messages;
}

std::uint64_t Checker::stream_tail(const std::string& stream) {
  nats::JetStream jetstream(connection(), kApiTimeout);
  const auto info = jetstream.stream_info(stream);
  return info.has_value() ? info->last_seq : 0;
}

storage::FeedSummary Checker::summary() {
  const auto feeds = reader_->feeds();
  if (feeds.has_value()) {
    for (const storage::FeedSummary& feed : *feeds) {
      if (feed.feed == places_.feed.number) {
        return feed;
      }
    }
  }
  return {};
}

std::vector<storage::QuarantinedMessage> Checker::quarantined() {
  return must(reader_->quarantined(places_.feed.number, kRowsAtOnce), "table Quarantine");
}

// What has not come through yet, in words; empty when nothing is on its way any more.
std::string Checker::unsettled(std::size_t sent_count, const Subscriber* subscriber) {
  const storage::FeedState state = summary().state;
  const std::uint64_t ingest = stream_tail(places_.feed.ingest_stream());
  const std::uint64_t published = stream_tail(places_.feed.feed_stream());
  const std::uint64_t received = subscriber == nullptr ? published : subscriber->received_count();
  if (state.ingest.stream_seq == ingest && state.last_seq >= sent_count &&
      published == state.last_seq && received >= published) {
    return {};
  }
  return fmt::format(
      "sent {}; ingest stream ends at {}, read until {}; catalogued {}; published "
      "{}; received {}",
      sent_count,
      ingest,
      state.ingest.stream_seq,
      state.last_seq,
      published,
      received);
}

// Each row's bytes and timestamp must be those of the first capture of its id.
std::string Checker::ingest_difference(const std::vector<Delivered>& rows) {
  std::map<std::string, Captured> first_captures;
  for (Captured& captured : ingest_stream()) {
    first_captures.try_emplace(captured.id, std::move(captured));
  }
  for (const Delivered& row : rows) {
    const auto it = first_captures.find(row.id);
    if (it == first_captures.end()) {
      return "the ingest stream holds no message with the id of row " + show(row);
    }
    if (it->second.timestamp_us != row.timestamp_us || it->second.payload != row.payload) {
      return fmt::format("the ingest stream captured at {} payload {}, the row is {}",
                         format_rfc3339_us(it->second.timestamp_us),
                         show(it->second.payload),
                         show(row));
    }
  }
  return {};
}

::testing::AssertionResult Checker::verify(const std::vector<Sent>& sent,
                                           const Subscriber* subscriber,
                                           const VerifyOptions& options) {
  const auto failure = [this](const std::string& text) {
    return ::testing::AssertionFailure() << "feed " << places_.feed.name << ": " << text;
  };
  try {
    std::string waiting_for;
    const bool settled = eventually(
        [&] {
          waiting_for = unsettled(sent.size(), subscriber);
          return waiting_for.empty();
        },
        options.settle);
    const std::vector<Delivered> rows = table();
    std::string found = sent_difference(sent, rows, places_.feed.ingest_stream());
    if (found.empty()) {
      found = difference("the table", rows, "the feed stream", feed_stream());
    }
    if (found.empty() && subscriber != nullptr) {
      found = difference("the table", rows, "the subscriber", subscriber->received());
    }
    if (found.empty() && options.ingest_is_whole) {
      found = ingest_difference(rows);
    }
    if (found.empty() && !settled) {
      found = "the lists are equal, and yet something is on its way";
    }
    if (!found.empty()) {
      return failure(settled ? found : found + "\nnot settled in time: " + waiting_for);
    }
  } catch (const std::exception& error) {
    return failure(error.what());
  }
  return ::testing::AssertionSuccess() << sent.size() << " messages of feed " << places_.feed.name;
}

}  // namespace feedvault::testing
