#include "client/nats_history.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "client/history_pack.h"
#include "client/history_wire.h"

namespace feedvault {
namespace {

namespace wire = history_wire;

std::optional<std::uint64_t> number_of(std::optional<std::string_view> text) {
  std::uint64_t value = 0;
  if (!text) {
    return std::nullopt;
  }
  const char* const end = text->data() + text->size();
  const auto [after, error] = std::from_chars(text->data(), end, value);
  return error == std::errc() && after == end ? std::optional(value) : std::nullopt;
}

/// A time that can be read back in nanoseconds: from 1970, before which nothing was captured, to
/// the end of 2261.
std::string time_text(std::int64_t unix_us) {
  constexpr std::int64_t kYear2262 = 9'214'646'400'000'000;
  return format_rfc3339_us(std::clamp<std::int64_t>(unix_us, 0, kYear2262 - 1));
}

bool ends_answer(const nats::Message& message) {
  return message.payload().empty();
}

/// What the broker says when nobody listens.
bool no_responders(const nats::Message& message) {
  return message.status() == "503";
}

Status error_of(const nats::Message& last) {
  if (no_responders(last)) {
    return unavailable(
        "no history service answers; messages that the feed stream does not hold any more come "
        "from feedvault-gateway: start it");
  }
  const auto code = number_of(last.header(wire::kErrorCode));
  if (!code) {
    return {};
  }
  const std::string text =
      "history: " + std::string(last.header(wire::kError).value_or("unknown error"));
  return *code == 404 ? not_found(text) : *code == 400 ? invalid_argument(text) : unavailable(text);
}

/// How many messages a part of an answer holds, as it says itself; 0 for what is no part.
std::uint64_t messages_in(const nats::Message& part) {
  return number_of(part.header(wire::kPacked)).value_or(0);
}

Status append(const PackedMessage& message, const SeqRange& asked, HistoryPage& page) {
  if (message.seq < page.next_seq || message.seq > asked.last) {
    return protocol_error("history: message " + std::to_string(message.seq) + " is out of order");
  }
  page.next_seq = message.seq + 1;
  page.messages.push_back({.seq = message.seq,
                           .timestamp_us = message.timestamp_us,
                           .id = std::string(message.id),
                           .data = std::string(message.data),
                           .body = {}});
  return {};
}

Status append_part(const nats::Message& part, const SeqRange& asked, HistoryPage& page) {
  std::string_view pack = part.payload();
  for (std::uint64_t left = messages_in(part); left > 0; --left) {
    const auto message = take_packed(pack);
    if (!message) {
      return protocol_error("history: fewer messages in a pack than it says");
    }
    RETURN_IF_ERROR(append(*message, asked, page));
  }
  return pack.empty() ? Status() : protocol_error("history: more messages in a pack than it says");
}

}  // namespace

Result<std::unique_ptr<NatsHistory>> NatsHistory::open(nats::Connection& connection,
                                                       const Options& options) {
  std::unique_ptr<NatsHistory> history(new NatsHistory(connection, options));
  NatsHistory* const raw = history.get();
  ASSIGN_OR_RETURN(history->subscription_,
                   connection.subscribe(
                       raw->inbox_ + ".*",
                       [raw](nats::Message message) { raw->arrive(std::move(message)); },
                       [raw] { raw->connection_lost(); }));
  return history;
}

void NatsHistory::arrive(nats::Message message) {
  const std::string_view subject = message.subject();
  const auto id = subject.size() > inbox_.size() + 1 ? number_of(subject.substr(inbox_.size() + 1))
                                                     : std::nullopt;
  const bool last = ends_answer(message);
  {
    MutexLock lock(mutex_);
    const auto found = id ? answers_.find(*id) : answers_.end();
    if (found == answers_.end()) {
      return;  // of a page that was given up
    }
    ++arrivals_;
    Answer& answer = found->second;
    if (const std::uint64_t more = messages_in(message);
        !last && more <= answer.messages_max - answer.messages) {
      answer.messages += more;
      answer.parts.push_back(std::move(message));
      return;
    }
    answer.ended = last;
    answer.lost = !last;  // more than we asked for: not a service of ours
    answer.last = std::move(message);
  }
  arrived_.notify_one();
}

void NatsHistory::connection_lost() {
  {
    MutexLock lock(mutex_);
    for (auto& [id, answer] : answers_) {
      answer.lost = true;
    }
  }
  arrived_.notify_one();
}

void NatsHistory::cancel() {
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
  }
  arrived_.notify_one();
}

Result<std::uint64_t> NatsHistory::ask(const Asked& asked) {
  const std::uint64_t id = ++last_id_;
  {
    MutexLock lock(mutex_);
    answers_[id].messages_max = asked.messages_max;
  }
  const std::string reply = inbox_ + "." + std::to_string(id);
  const Status sent = connection_.publish(
      {.subject = asked.subject, .reply = reply, .headers = {}, .payload = asked.request});
  if (!sent.ok()) {
    MutexLock lock(mutex_);
    answers_.erase(id);
    return sent;
  }
  return id;
}

bool NatsHistory::has_ended(std::uint64_t id) const {
  const auto found = answers_.find(id);
  return found != answers_.end() && found->second.ended;
}

// What came of an earlier time but the first is dropped: two answers are kept, however often.
Status NatsHistory::ask_again(Asked& asked) {
  {
    MutexLock lock(mutex_);
    if (has_ended(asked.id) || has_ended(asked.again_id)) {
      return {};
    }
    answers_.erase(asked.again_id);
  }
  ASSIGN_OR_RETURN(asked.again_id, ask(asked));
  return {};
}

// The pages behind it, too: they would fall silent one after the other.
Status NatsHistory::ask_all_again(Asked& asked) {
  RETURN_IF_ERROR(ask_again(asked));
  for (Asked& page : pages_) {
    if (page.id != asked.id) {
      RETURN_IF_ERROR(ask_again(page));
    }
  }
  return {};
}

Result<NatsHistory::Answer> NatsHistory::wait(Asked& asked) {
  if (asked.again_id == 0) {
    auto answer = first_answer(asked, patience_);
    if (answer.status().code() != StatusCode::kTimeout) {
      return answer;
    }
    RETURN_IF_ERROR(ask_all_again(asked));
  }
  // The broker gives each question to any of the instances. One that hangs without being gone may
  // get it several times: so it is asked until another one has it, less and less often.
  std::chrono::milliseconds silence{0};
  for (std::chrono::milliseconds window = patience_;; window *= 2) {
    window = std::min(window, options_.silence_max - silence);
    auto answer = first_answer(asked, window);
    silence += window;
    if (answer.status().code() != StatusCode::kTimeout || silence >= options_.silence_max) {
      return answer;
    }
    RETURN_IF_ERROR(ask_all_again(asked));
  }
}

Result<NatsHistory::Answer> NatsHistory::first_answer(const Asked& asked,
                                                      std::chrono::milliseconds silence_max) {
  MutexLock lock(mutex_);
  std::uint64_t arrivals = arrivals_;
  SteadyTime deadline = std::chrono::steady_clock::now() + silence_max;
  for (;;) {
    if (cancelled_) {
      return cancelled("reading history was cancelled");
    }
    auto answer = take_answer(asked);
    if (answer.status().code() != StatusCode::kTimeout) {
      return answer;
    }
    if (arrived_.wait_until(mutex_, deadline)) {
      continue;
    }
    if (arrivals == arrivals_) {
      return answer;
    }
    arrivals = arrivals_;
    deadline = std::chrono::steady_clock::now() + silence_max;
  }
}

// kTimeout while it may still come.
Result<NatsHistory::Answer> NatsHistory::take_answer(const Asked& asked) {
  Status problem = unavailable("reading history was interrupted");
  bool open = false;
  for (const std::uint64_t id : {asked.id, asked.again_id}) {
    const auto found = answers_.find(id);
    if (found == answers_.end()) {
      continue;
    }
    Answer& answer = found->second;
    if (!answer.ended && !answer.lost) {
      open = true;
      continue;
    }
    problem = problem_of(answer);
    if (problem.ok()) {
      if (id == asked.id && asked.again_id != 0) {
        patience_ = std::min(patience_ * 2, options_.silence_max);
      }
      Answer taken = std::move(answer);
      answers_.erase(asked.id);
      answers_.erase(asked.again_id);
      return taken;
    }
    // Nobody listens any more: so nobody is at work on the first one either.
    open = open && !no_responders(answer.last);
  }
  return open ? timeout_error("the history service has not answered in time") : problem;
}

Status NatsHistory::problem_of(const Answer& answer) {
  if (!answer.ended) {
    return unavailable("reading history was interrupted");
  }
  RETURN_IF_ERROR(error_of(answer.last));
  if (number_of(answer.last.header(wire::kMessages)) != answer.messages) {
    return unavailable("messages of a history page were lost on their way");
  }
  if (!answer.last.header(wire::kNextSeq)) {
    return protocol_error("history: the answer does not say where to go on");
  }
  return {};
}

Result<NatsHistory::Answer> NatsHistory::ask_and_wait(const std::string& feed,
                                                      const std::string& request) {
  Asked asked;
  asked.subject = wire::kSubjectPrefix + feed;
  asked.request = request;
  ASSIGN_OR_RETURN(asked.id, ask(asked));
  auto answer = wait(asked);
  MutexLock lock(mutex_);
  answers_.erase(asked.id);
  answers_.erase(asked.again_id);
  return answer;
}

void NatsHistory::forget_pages() {
  pages_.clear();
  ahead_ = 1;
  MutexLock lock(mutex_);
  answers_.clear();
}

Status NatsHistory::ask_ahead(const HistoryRequest& request) {
  std::uint64_t first = pages_.empty() ? request.range.first : pages_.back().range.last + 1;
  while (pages_.size() < ahead_ && first <= request.range.last) {
    const std::uint64_t last = std::min(request.range.last, first + messages_ - 1);
    Asked page;
    page.subject = wire::kSubjectPrefix + feed_;
    page.request = fmt::format(
        R"({{"from_seq":{},"to_seq":{},"max_messages":{},"max_bytes":{},"packed":true}})",
        first,
        last,
        messages_,
        request.bytes_max);
    page.messages_max = messages_;
    page.range = {.first = first, .last = last};
    ASSIGN_OR_RETURN(page.id, ask(page));
    pages_.push_back(std::move(page));
    first = last + 1;
  }
  return {};
}

Result<HistoryPage> NatsHistory::read_page(const std::string& feed, const HistoryRequest& request) {
  if (request.range.empty() || request.messages_max == 0) {
    return HistoryPage{.messages = {}, .next_seq = request.range.first};
  }
  if (feed != feed_ || pages_.empty() || pages_.front().range.first != request.range.first) {
    forget_pages();
    feed_ = feed;
  }
  messages_ = messages_ == 0 ? request.messages_max : std::min(messages_, request.messages_max);
  auto page = take_page(request);
  if (!page) {
    forget_pages();
  }
  return page;
}

Result<HistoryPage> NatsHistory::take_page(const HistoryRequest& request) {
  RETURN_IF_ERROR(ask_ahead(request));
  ASSIGN_OR_RETURN(const Answer answer, wait(pages_.front()));
  const SeqRange asked = pages_.front().range;
  pages_.pop_front();
  HistoryPage page;
  page.messages.reserve(answer.messages);
  page.next_seq = asked.first;
  for (const nats::Message& part : answer.parts) {
    RETURN_IF_ERROR(append_part(part, asked, page));
  }
  page.end = answer.last.header(wire::kPage) == wire::kEnd;
  page.next_seq =
      std::max(page.next_seq, number_of(answer.last.header(wire::kNextSeq)).value_or(0));
  adapt(asked, page, request);
  return page;
}

// How much to ask for next, now that it is seen what came.
void NatsHistory::adapt(const SeqRange& asked,
                        const HistoryPage& page,
                        const HistoryRequest& request) {
  if (page.end || page.next_seq != asked.last + 1) {
    // What is under way does not follow: the table ends or has a hole, or the page's bytes did.
    forget_pages();
    if (!page.end && page.next_seq <= asked.last) {
      messages_ = std::max<std::size_t>(1, page.messages.size() / 4 * 3);
    }
    return;
  }
  ahead_ = std::min(ahead_ + 1, options_.pages_ahead);
  // As the service counts them: a page that its bytes end makes those behind it useless.
  std::size_t bytes = page.messages.size() * sizeof(HistoryMessage);
  for (const HistoryMessage& message : page.messages) {
    bytes += message.id.size() + message.data.size();
  }
  if (bytes < request.bytes_max / 2) {
    messages_ = std::min(messages_ * 2, request.messages_max);
  }
}

Result<std::uint64_t> NatsHistory::seq_at_time(const std::string& feed, std::int64_t timestamp_us) {
  ASSIGN_OR_RETURN(
      const Answer answer,
      ask_and_wait(
          feed, fmt::format(R"({{"from_time":"{}","max_messages":0}})", time_text(timestamp_us))));
  return number_of(answer.last.header(wire::kNextSeq)).value_or(1);
}

Result<SeqRange> NatsHistory::held(const std::string& feed) {
  ASSIGN_OR_RETURN(const Answer answer, ask_and_wait(feed, R"({"max_messages":0})"));
  const auto first = number_of(answer.last.header(wire::kFirstSeq));
  const auto last = number_of(answer.last.header(wire::kLastSeq));
  if (!first || !last) {
    return protocol_error("history: the answer does not say what the table holds");
  }
  return SeqRange{.first = *first, .last = *last};
}

}  // namespace feedvault
