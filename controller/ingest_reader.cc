#include "controller/ingest_reader.h"

#include <fmt/format.h>

#include "base/failpoint.h"
#include "controller/limits.h"

namespace feedvault::controller {

IngestReader::IngestReader(Options options,
                           nats::Connection& connection,
                           const MessageSchema& schema,
                           Queue& queue,
                           Session& session,
                           FeedMetrics& metrics)
    : options_(std::move(options)),
      connection_(connection),
      decoder_(schema.new_decoder()),
      queue_(queue),
      session_(session),
      metrics_(metrics),
      next_seq_(options_.start_seq) {}

Status IngestReader::start() {
  nats::ReaderOptions options;
  options.written = true;  // check_ingest() finds a tail that was lost; ids tell messages apart
  ASSIGN_OR_RETURN(
      reader_, nats::StreamReader::open(connection_, options_.stream, options_.start_seq, options));
  thread_ = std::thread([this] { run(); });
  return {};
}

void IngestReader::cancel() {
  stopping_.store(true, std::memory_order_release);
  if (reader_ != nullptr) {
    reader_->cancel();
  }
}

void IngestReader::stop() {
  cancel();
  queue_.close();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void IngestReader::run() {
  using std::chrono::steady_clock;
  while (!stopping_.load(std::memory_order_acquire) && !session_.failed()) {
    auto received = reader_->next(steady_clock::now() + std::chrono::seconds(1));
    if (received.has_value()) {
      if (!take(std::move(received).value())) {
        break;
      }
    } else if (received.error().code() == StatusCode::kCancelled) {
      break;
    } else if (received.error().code() != StatusCode::kTimeout) {
      session_.fail(received.error().with_context("reading " + options_.stream));
      break;
    }
  }
  queue_.close();
}

// False: stop reading.
bool IngestReader::take(nats::StreamMessage received) {
  const std::uint64_t seq = received.stream_seq;
  if (seq < next_seq_) {
    session_.fail(protocol_error(
        fmt::format("{} delivered sequence {} after {}", options_.stream, seq, next_seq_ - 1)));
    return false;
  }
  FAILPOINT("read.received");
  IngestMessage message;
  message.received = std::move(received);
  message.gap_first = seq > next_seq_ ? next_seq_ : 0;
  next_seq_ = seq + 1;
  metrics_.received.increment();
  decode(message);
  bad_in_a_row_ = message.good() ? 0 : bad_in_a_row_ + 1;
  const std::size_t bytes = message.bytes();
  if (!queue_.push(std::move(message), bytes)) {
    return false;
  }
  if (bad_in_a_row_ >= options_.stop_after_bad_messages) {
    too_many_bad_.store(true, std::memory_order_release);
    return false;
  }
  return true;
}

void IngestReader::decode(IngestMessage& message) {
  const std::string_view payload = message.payload();
  const auto producer_id = message.received.message.header(kMsgIdHeader);
  if (producer_id.has_value() && !producer_id->empty()) {
    message.id = *producer_id;
  } else {
    message.id_generated = true;
    message.id =
        generated_id(options_.stream, options_.stream_created_ns, message.received.stream_seq);
  }
  if (message.id.size() > kIdBytesMax) {
    message.error = fmt::format(
        "Nats-Msg-Id has {} bytes, at most {} can be stored", message.id.size(), kIdBytesMax);
    return;
  }
  if (payload.size() > options_.payload_bytes_max) {
    message.error = payload_too_large(payload.size(), options_.payload_bytes_max);
    return;
  }
  const Status decoded =
      options_.json ? decoder_->to_json(payload, message.body) : decoder_->check(payload);
  if (!decoded.ok()) {
    message.error = decoded.message();
    message.body.clear();
  }
}

}  // namespace feedvault::controller
