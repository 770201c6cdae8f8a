#include "tests/chaos/join_readers.h"

#include <cstdlib>
#include <limits>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "proto/message_schema.h"
#include "tests/support/http_client.h"

namespace feedvault::testing {
namespace {

using std::chrono::milliseconds;

// Between two tries, and before the table's end is looked at again.
constexpr milliseconds kPause{20};
// With nothing for so long a connection counts as lost, as it may be.
constexpr milliseconds kPatience{5000};

template <typename T>
T must_have(Result<T> result) {
  if (!result.has_value()) {
    throw std::runtime_error(result.error().to_string());
  }
  return std::move(result).value();
}

// "events:12" is 12; 0 for what is none.
std::uint64_t seq_of(const std::string& position) {
  const std::size_t colon = position.find(':');
  return colon == std::string::npos ? 0 : std::strtoull(position.c_str() + colon + 1, nullptr, 10);
}

bool same_json(const std::string& a, const std::string& b) {
  return nlohmann::json::parse(a, nullptr, false) == nlohmann::json::parse(b, nullptr, false);
}

}  // namespace

std::string canonical(std::string_view id, std::int64_t timestamp_us, std::string_view data) {
  return std::string(id) + " " + format_rfc3339_us(timestamp_us) + " " + std::string(data);
}

Expected::Expected(const std::vector<Delivered>& rows,
                   const std::string& proto_file,
                   const std::string& type) {
  const auto schema = must_have(MessageSchema::load(proto_file, type));
  const auto decoder = schema->new_decoder();
  for (const Delivered& row : rows) {
    std::string event = "{\"seq\":" + std::to_string(row.seq) + ",\"id\":\"" + row.id +
                        "\",\"timestamp\":\"" + format_rfc3339_us(row.timestamp_us) +
                        "\",\"body\":";
    if (const Status status = decoder->to_json(row.payload, event); !status.ok()) {
      throw std::runtime_error("row " + std::to_string(row.seq) + ": " + status.to_string());
    }
    events.push_back(event + "}");
    messages.push_back(canonical(row.id, row.timestamp_us, row.payload));
  }
}

std::uint64_t JoinReader::next() const {
  MutexLock lock(mutex_);
  return got_.empty() ? start_ : got_.back().first + 1;
}

void JoinReader::got(std::uint64_t seq, std::string text) {
  MutexLock lock(mutex_);
  got_.emplace_back(seq, std::move(text));
}

void JoinReader::complain(const std::string& about) {
  MutexLock lock(mutex_);
  complaint_ += about + "; ";
}

void JoinReader::set_start(std::uint64_t start) {
  MutexLock lock(mutex_);
  start_ = start;
}

std::uint64_t JoinReader::start() const {
  MutexLock lock(mutex_);
  return start_;
}

std::string JoinReader::difference_to(const std::vector<std::string>& expected, bool json) const {
  MutexLock lock(mutex_);
  if (!complaint_.empty()) {
    return complaint_;
  }
  std::uint64_t seq = start_;
  for (const auto& [number, text] : got_) {
    if (number != seq) {
      return "message " + std::to_string(seq) + " was to come, and it was " +
             std::to_string(number);
    }
    if (number > expected.size()) {
      return "message " + std::to_string(number) + " is not in the table";
    }
    const std::string& row = expected[number - 1];
    if (text != row && (!json || !same_json(text, row))) {
      return "message " + std::to_string(number) + " is\n  " + text + "\nand in the table\n  " +
             row;
    }
    ++seq;
  }
  // Who starts in the future gets nothing when it does not come.
  return seq > expected.size() ? "" : "nothing came behind " + std::to_string(seq - 1);
}

SseReader::SseReader(std::uint16_t port, std::string feed, std::uint64_t start)
    : JoinReader("browser of " + feed + " from " + std::to_string(start), start),
      port_(port),
      feed_(std::move(feed)),
      thread_([this] { run(); }) {}

SseReader::~SseReader() {
  give_up();
  thread_.join();
}

void SseReader::run() {
  std::string last_id;
  do {
    read_one_connection(last_id);
  } while (!gives_up_.wait_for(kPause));  // then again, as browsers do, only sooner
}

void SseReader::read_one_connection(std::string& last_id) {
  std::vector<std::string> headers;
  if (!last_id.empty()) {
    headers.push_back("Last-Event-ID: " + last_id);
  }
  const std::uint64_t from = start();
  EventReader reader(port_,
                     "/feeds/" + feed_ + "/live?from=" + (from == 0 ? "new" : std::to_string(from)),
                     headers,
                     kPatience);
  if (reader.head().status != 200) {
    return;
  }
  const std::uint64_t first = seq_of(reader.head().header("feedvault-start"));
  if (const std::uint64_t known = next(); known == 0) {
    set_start(first);
  } else if (first != known) {
    complain("Feedvault-Start is " + std::to_string(first) + " where " + std::to_string(known) +
             " is next");
  }
  while (!gives_up_.stop_requested()) {
    const auto event = reader.next();
    if (!reader.last_id().empty()) {
      last_id = reader.last_id();
    }
    if (!event) {
      return;
    }
    if (!event->event.empty()) {
      complain(event->event + " " + event->data);
      continue;
    }
    got(seq_of(event->id), event->data);
  }
}

ServiceReader::ServiceReader(const NatsConfig& broker, const std::string& feed, std::uint64_t start)
    : JoinReader("StreamService of " + feed + " from " + std::to_string(start), start) {
  StreamService::Options options;
  options.name = name();
  options.on_gap = [this](const Gap& gap) {
    complain("gap from " + std::to_string(gap.first) + " to " + std::to_string(gap.last));
  };
  service_ = must_have(StreamService::connect(broker, std::move(options)));
  SubscribeOptions subscription;
  subscription.feed = feed;
  subscription.start = Start::at_seq(start);
  const Status subscribed = service_->subscribe(subscription, [this](const FeedMessage& message) {
    got(message.position.seq, canonical(message.id, message.timestamp_us, message.data));
    return true;
  });
  if (!subscribed.ok()) {
    throw std::runtime_error(subscribed.to_string());
  }
}

PageReader::PageReader(const NatsConfig& broker, std::string feed, std::uint64_t start)
    : JoinReader("reader of pages of " + feed + " from " + std::to_string(start), start),
      feed_(std::move(feed)),
      connection_(
          must_have(nats::Connection::open(broker, {.name = "page reader", .on_state = nullptr}))),
      history_(must_have(NatsHistory::open(*connection_, {}))),
      thread_([this] { run(); }) {}

PageReader::~PageReader() {
  give_up();
  thread_.join();
}

void PageReader::run() {
  while (!gives_up_.stop_requested()) {
    HistoryRequest request;
    request.range = {.first = next(), .last = std::numeric_limits<std::uint64_t>::max() / 2};
    request.messages_max = 100;  // so that there are many
    const auto page = history_->read_page(feed_, request);
    if (page.has_value()) {
      for (const HistoryMessage& message : page->messages) {
        got(message.seq, canonical(message.id, message.timestamp_us, message.data));
      }
    }
    if (!page.has_value() || page->end) {
      gives_up_.wait_for(kPause);  // nothing tells when there is more, or somebody to ask
    }
  }
}

}  // namespace feedvault::testing
