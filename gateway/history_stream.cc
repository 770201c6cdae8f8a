#include "gateway/history_stream.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/log.h"
#include "gateway/http/problem.h"
#include "gateway/limits.h"

namespace feedvault::gateway {

HistoryStream::HistoryStream(const Feed& feed,
                             HistoryQuery query,
                             HistoryRequestOptions options,
                             WorkerPool& pool,
                             Counter rows_total)
    : feed_(feed),
      query_(std::move(query)),
      options_(std::move(options)),
      pool_(pool),
      rows_total_(rows_total),
      scan_(query_.scan()),
      writer_(feed),
      left_(query_.limit) {
  scan_.feed = feed.config.number;
}

void HistoryStream::answer(const Feed& feed,
                           HistoryQuery query,
                           HistoryRequestOptions options,
                           WorkerPool& pool,
                           Counter rows_total,
                           Respond respond) {
  auto stream =
      std::make_shared<HistoryStream>(feed, std::move(query), std::move(options), pool, rows_total);
  pool.submit([stream, respond = std::move(respond)](const Database& database) {
    stream->begin(database.catalogue, respond);
  });
}

Status HistoryStream::resolve_range(storage::CatalogueReader& catalogue) {
  ASSIGN_OR_RETURN(const auto held, catalogue.held(feed_.config.number));
  // What is catalogued from now on belongs to another answer: this one has an end.
  scan_.end_seq = held.last + 1;
  next_ = std::max(query_.from.seq.value_or(1), held.first);
  if (!query_.from.seq) {
    ASSIGN_OR_RETURN(const auto first,
                     catalogue.seq_at_time(feed_.config.number, query_.from.time_us));
    next_ = first.value_or(scan_.end_seq);
  }
  if (query_.to && query_.to->seq) {
    scan_.end_seq = std::min(scan_.end_seq, *query_.to->seq);
  } else if (query_.to) {
    ASSIGN_OR_RETURN(const auto before,
                     catalogue.last_before_time(feed_.config.number, query_.to->time_us));
    scan_.end_seq = std::min(scan_.end_seq, before ? *before + 1 : 1);
  }
  return {};
}

bool HistoryStream::passes(const MessageView& message) {
  if (query_.filters.empty()) {
    return true;
  }
  const auto body = writer_.body_of(message);
  return body.has_value() &&
         std::all_of(query_.filters.begin(), query_.filters.end(), [&](const FieldFilter& filter) {
           return filter.matches(*body);
         });
}

void HistoryStream::write(const MessageView& message, std::string& text) {
  switch (options_.format) {
    case Format::kJson:
      text.append(first_row_ ? "\n" : ",\n");
      writer_.append_json(message, text);
      break;
    case Format::kNdjson:
      writer_.append_json(message, text);
      text.push_back('\n');
      break;
    case Format::kCsv:
      writer_.append_csv(message, text);
      break;
  }
  first_row_ = false;
}

Status HistoryStream::read_page(storage::CatalogueReader& catalogue,
                                std::size_t rows_max,
                                std::string& text) {
  // What does not fit into the page would be sent by the database and thrown away here.
  const std::size_t fit = kPageBytes / row_bytes_ + 1;
  scan_.first_seq = next_;
  scan_.rows_max =
      static_cast<std::size_t>(std::min<std::uint64_t>(std::min(rows_max, fit), left_));
  const std::size_t bytes_before = text.size();
  std::size_t looked_at = 0;
  std::uint64_t rows = 0;
  const auto next = catalogue.scan(scan_, [&](const storage::Row& row) {
    const MessageView message{.seq = row.seq,
                              .timestamp_us = row.timestamp_us,
                              .id = row.id,
                              .data = row.data,
                              .body = row.body};
    ++looked_at;
    if (passes(message)) {
      write(message, text);
      ++rows;
    }
    return text.size() < kPageBytes;
  });
  if (looked_at > 0) {
    row_bytes_ = std::max<std::size_t>(1, (text.size() - bytes_before) / looked_at);
  }
  rows_total_.increment(rows);
  left_ -= rows;
  if (next.has_value()) {
    next_ = *next;
  }
  return next.status();
}

void HistoryStream::write_end(std::string& text) {
  if (options_.format != Format::kJson) {
    return;
  }
  text.append(first_row_ ? "]" : "\n]");
  if (next_ < scan_.end_seq) {
    text.append(",\"next\":");
    append_json_string(text, next_target(feed_, options_.items, next_));
  }
  text.append("}\n");
}

void HistoryStream::begin(storage::CatalogueReader& catalogue, const Respond& respond) {
  std::string text;
  if (options_.format == Format::kJson) {
    text = "{\"messages\":[";
  } else if (options_.format == Format::kCsv) {
    writer_.append_csv_header(text);
  }
  Status status = resolve_range(catalogue);
  if (status.ok() && !finished()) {
    status = read_page(catalogue, kFirstRows, text);
  }
  if (!status.ok()) {
    respond(problem(status));
    return;
  }
  const bool whole = finished();
  if (whole) {
    write_end(text);
  }
  Response response = make_response();
  {
    MutexLock lock(mutex_);
    ended_ = whole;
    ready_bytes_ = text.size();
    if (!text.empty()) {
      ready_.push_back(std::make_shared<const std::string>(std::move(text)));
    }
  }
  respond(std::move(response));
}

Response HistoryStream::make_response() {
  Response response;
  response.set("Content-Type",
               std::string(media_type(options_.format)) +
                   (options_.format == Format::kCsv ? "; charset=utf-8; header=present" : ""));
  response.set("Vary", "Accept");
  // Where the next page begins is known when this one is read; or when nothing is left out, for
  // positions have no gaps. Else only the JSON's `next` tells.
  std::uint64_t next = 0;
  if (finished()) {
    next = next_;
  } else if (!query_.has_conditions() && left_ < scan_.end_seq - next_) {
    next = next_ + left_;
  }
  if (next != 0 && next < scan_.end_seq) {
    response.set("Link", "<" + next_target(feed_, options_.items, next) + ">; rel=\"next\"");
  }
  response.stream = shared_from_this();
  return response;
}

void HistoryStream::on_ready(std::function<void()> wake) {
  MutexLock lock(mutex_);
  wake_ = std::move(wake);
}

BodyStream::State HistoryStream::take(std::vector<Piece>& pieces) {
  std::size_t bytes = 0;
  bool ended = false;
  {
    MutexLock lock(mutex_);
    if (broken_) {
      return State::kBroken;
    }
    std::size_t count = 0;
    while (count < ready_.size() && pieces.size() < kWritePieces && bytes < kWriteBytes) {
      bytes += ready_[count]->size();
      pieces.push_back(std::move(ready_[count]));
      ++count;
    }
    ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(count));
    ready_bytes_ -= bytes;
    ended = ended_ && ready_.empty();
  }
  if (ended) {
    return State::kEnd;
  }
  if (!schedule()) {
    return State::kBroken;
  }
  return bytes > 0 ? State::kMore : State::kWait;
}

bool HistoryStream::schedule() {
  {
    MutexLock lock(mutex_);
    if (reading_ || ended_ || broken_ || ready_bytes_ >= kAheadBytes) {
      return true;
    }
    reading_ = true;
  }
  return pool_.submit([weak = weak_from_this()](const Database& database) {
    // When the reader has left meanwhile, nobody wants the page.
    if (const auto stream = weak.lock()) {
      stream->read_on(database.catalogue);
    }
  });
}

void HistoryStream::read_on(storage::CatalogueReader& catalogue) {
  std::string text;
  text.reserve(std::min(kPageBytes, row_bytes_ * kPageRows) + kPageBytes / 16);
  const Status status = read_page(catalogue, kPageRows, text);
  const bool whole = status.ok() && finished();
  if (whole) {
    write_end(text);
  }
  std::function<void()> wake;
  {
    MutexLock lock(mutex_);
    reading_ = false;
    ended_ = whole;
    broken_ = !status.ok();
    ready_bytes_ += text.size();
    if (!text.empty()) {
      ready_.push_back(std::make_shared<const std::string>(std::move(text)));
    }
    wake = wake_;
  }
  if (!status.ok()) {
    logger("gateway")->warn("history answer broken off feed={} seq={} reason=\"{}\"",
                            feed_.name(),
                            next_,
                            status.message());
  } else if (!whole && !schedule()) {
    MutexLock lock(mutex_);
    broken_ = true;
  }
  if (wake) {
    wake();
  }
}

}  // namespace feedvault::gateway
