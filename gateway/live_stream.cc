#include "gateway/live_stream.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "gateway/limits.h"
#include "gateway/message_writer.h"

namespace feedvault::gateway {
namespace {

constexpr const char* kFarewell = ": it ends here; come back with the last id\n\n";

Piece piece(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

// An id without data is no event, but EventSource remembers it (HTML, 9.2.6): who is cut off before
// the first message comes back to where this stream begins, and not to what is new by then. `retry`
// is how long it waits before that; its own choice would be some seconds.
Piece greeting(const std::string& feed, std::uint64_t last) {
  return piece("id: " + feed + ":" + std::to_string(last) + "\nretry: 1000\n\n");
}

}  // namespace

LiveStream::LiveStream(LiveFeed& feed, WorkerPool& pool, std::uint64_t last, bool from_oldest)
    : feed_(feed),
      pool_(pool),
      join_(last, {.history = true, .from_oldest = from_oldest, .overlap = kRingEvents / 8}) {
  feed_.reader_came();
}

LiveStream::~LiveStream() {
  leave_ring();
  feed_.reader_went();
}

void LiveStream::leave_ring() {
  if (std::exchange(registered_, false)) {
    feed_.ring().forget(this);
  }
}

void LiveStream::on_ready(std::function<void()> wake) {
  MutexLock lock(mutex_);
  wake_ = std::move(wake);
}

void LiveStream::wake() {
  std::function<void()> wake;
  {
    MutexLock lock(mutex_);
    wake = wake_;
  }
  if (wake) {
    wake();
  }
}

Piece LiveStream::heartbeat() {
  static const Piece beat = piece(":\n\n");
  return beat;
}

BodyStream::State LiveStream::take(std::vector<Piece>& pieces) {
  static const Piece farewell = piece(kFarewell);
  if (!std::exchange(greeted_, true)) {
    pieces.push_back(greeting(feed_.feed().name(), join_.last()));
    return State::kMore;
  }
  if (finishing_) {
    pieces.push_back(farewell);
    return State::kEnd;
  }
  for (;;) {
    if (!take_page(pieces)) {
      return State::kWait;  // a job is under way
    }
    if (!pieces.empty()) {
      return State::kMore;
    }
    if (const auto held = feed_.ring().held()) {
      join_.live_holds(*held);
    } else {
      join_.live_unknown();
    }
    switch (join_.step()) {
      case FeedJoin::Step::kLive: {
        registered_ = true;
        const std::uint64_t first = join_.next();
        const std::size_t count = feed_.ring().take(first, pieces, this);
        for (std::uint64_t seq = first; seq < first + count; ++seq) {
          // The ring has no holes: each follows the one before it.
          CHECK(join_.offer_live(seq) == FeedJoin::Verdict::kDeliver);
          join_.delivered();
        }
        feed_.sent(count);
        if (count > 0) {
          return State::kMore;
        }
        if (const auto now = feed_.ring().held(); now && now->first > join_.next()) {
          continue;  // it has just forgotten it
        }
        return State::kWait;
      }
      case FeedJoin::Step::kHistory:
        read_history(join_.history_range());
        return State::kWait;
      case FeedJoin::Step::kGap: {
        const SeqRange gap = join_.gap();
        std::string event;
        MessageWriter(feed_.feed()).append_gap_event(gap.first, gap.last, event);
        pieces.push_back(piece(std::move(event)));
        feed_.lost(gap.last - gap.first + 1);
        join_.pass_gap();
        return State::kMore;
      }
      case FeedJoin::Step::kWait:
        wait_a_while();
        return State::kWait;
    }
  }
}

// What a job brought, if one did. False while one is under way.
bool LiveStream::take_page(std::vector<Piece>& pieces) {
  std::optional<Page> page;
  {
    MutexLock lock(mutex_);
    if (pending_) {
      return false;
    }
    page.swap(page_);
    if (std::exchange(ask_again_, false)) {
      join_.ask_table_again();
    }
  }
  if (!page) {
    return true;
  }
  std::size_t delivered_bytes = 0;
  std::size_t delivered = 0;
  bool stopped = false;
  for (const auto& [seq, end] : page->events) {
    // A page begins at next(), and nothing was delivered meanwhile: none is a repeat.
    if (join_.offer_history(seq) != FeedJoin::Verdict::kDeliver) {
      stopped = true;
      break;
    }
    join_.delivered();
    delivered_bytes = end;
    ++delivered;
  }
  if (!stopped) {
    join_.history_read(page->next_seq, page->end);
  }
  feed_.sent(delivered);
  if (delivered > 0) {
    page->text.resize(delivered_bytes);
    pieces.push_back(piece(std::move(page->text)));
  }
  return true;
}

void LiveStream::read_history(const SeqRange& range) {
  {
    MutexLock lock(mutex_);
    pending_ = true;
  }
  // A job may be the last to hold this object, on its own thread: the ring must not know it then.
  leave_ring();
  const bool taken = pool_.submit([weak = weak_from_this(), range](const Database& database) {
    const auto stream = weak.lock();
    if (stream == nullptr) {
      return;
    }
    Page page = stream->read_page(database.history, range);
    if (page.failed) {
      stream->wait_a_while();
      return;
    }
    stream->bring(std::move(page));
  });
  if (!taken) {
    // So many wait already that this one would not be served soon; the reader keeps its place.
    wait_a_while();
  }
}

void LiveStream::bring(Page page) {
  {
    MutexLock lock(mutex_);
    pending_ = false;
    page_ = std::move(page);
  }
  wake();
}

// Tries again later, whatever it was. Any thread.
void LiveStream::wait_a_while() {
  {
    MutexLock lock(mutex_);
    pending_ = true;
  }
  feed_.wake_later(weak_from_this());
}

void LiveStream::waited() {
  {
    MutexLock lock(mutex_);
    pending_ = false;
    ask_again_ = true;
  }
  wake();
}

LiveStream::Page LiveStream::read_page(HistorySource& history, const SeqRange& range) const {
  Page page;
  HistoryRequest request;
  request.range = range;
  request.messages_max = kCatchUpRows;
  request.bytes_max = kCatchUpBytes;
  request.with_body = true;
  const auto read = history.read_page(feed_.feed().name(), request);
  if (!read.has_value()) {
    logger("gateway")->debug("history cannot be read yet feed={} reason=\"{}\"",
                             feed_.feed().name(),
                             read.error().message());
    page.failed = true;
    return page;
  }
  MessageWriter writer(feed_.feed());
  for (const HistoryMessage& message : read->messages) {
    writer.append_event({.seq = message.seq,
                         .timestamp_us = message.timestamp_us,
                         .id = message.id,
                         .data = message.data,
                         .body = message.body},
                        page.text);
    page.events.emplace_back(message.seq, page.text.size());
  }
  page.next_seq = read->next_seq;
  page.end = read->end;
  return page;
}

}  // namespace feedvault::gateway
