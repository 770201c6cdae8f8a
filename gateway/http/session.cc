#include "gateway/http/session.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "gateway/http/problem.h"

namespace feedvault::gateway {

/// The duty to answer one request: when the last holder drops it, the client hears so.
class Session::Answering {
 public:
  Answering(std::weak_ptr<Session> session, std::shared_ptr<Loop> loop)
      : session_(std::move(session)), loop_(std::move(loop)) {}
  ~Answering() {
    if (!answered_) {
      send(problem(503, "the server is too busy, or about to end; try again"));
    }
  }
  Answering(const Answering&) = delete;
  Answering& operator=(const Answering&) = delete;

  void send(Response response) {
    answered_ = true;
    auto shared = std::make_shared<Response>(std::move(response));
    loop_->dispatch([session = session_, shared] {
      if (const auto alive = session.lock()) {
        alive->answer(std::move(*shared));
      }
    });
  }

 private:
  const std::weak_ptr<Session> session_;
  const std::shared_ptr<Loop> loop_;
  bool answered_ = false;
};

Session::Session(std::unique_ptr<Transport> transport,
                 SessionHost& host,
                 std::shared_ptr<Loop> loop)
    : transport_(std::move(transport)), host_(host), loop_(std::move(loop)) {}

void Session::start() {
  set_deadline(host_.limits().header_timeout);
  transport_->handshake([self = shared_from_this()](bool ok, std::size_t) {
    if (self->state_ == State::kLeft) {
      return;
    }
    if (!ok) {
      self->leave();
      return;
    }
    self->read();
  });
}

void Session::set_deadline(std::chrono::milliseconds from_now) {
  deadline_ = host_.now() + from_now;
}

void Session::check_deadline(SteadyTime now) {
  if (now < deadline_) {
    return;
  }
  switch (state_) {
    case State::kReading:
      if (request_begun_) {
        answer(problem(408, "the request did not arrive in time"));
        return;
      }
      leave();
      return;
    case State::kWaiting:
      if (Piece beat = stream_->heartbeat(); beat != nullptr) {
        pieces_.push_back(std::move(beat));
        write(/*last=*/false);
      } else {
        set_deadline(host_.limits().heartbeat);
      }
      return;
    case State::kWriting:
      if (end_stream()) {
        // What is under way must be whole before the end can be told: the reader has as long again
        // to take it.
        host_.too_slow();
        set_deadline(host_.limits().write_timeout);
        return;
      }
      if (!ending_) {
        host_.too_slow();
      }
      leave();
      return;
    case State::kLingering:
      leave();
      return;
    case State::kHandling:
    case State::kLeft:
      return;
  }
}

void Session::drain() {
  draining_ = true;
  if (idle()) {
    leave();
  } else if (end_stream() && state_ == State::kWaiting) {
    send_more();
  }
}

// An endless answer ends behind what is being sent; true the first time.
bool Session::end_stream() {
  if (stream_ == nullptr || !stream_->endless() || ending_) {
    return false;
  }
  ending_ = true;
  stream_->finish();
  return true;
}

void Session::leave() {
  if (std::exchange(state_, State::kLeft) == State::kLeft) {
    return;
  }
  stream_.reset();
  transport_->close();
  host_.left(*this);
}

void Session::read() {
  if (std::exchange(reading_, true)) {
    return;
  }
  transport_->read_some(
      buffer_, sizeof buffer_, [self = shared_from_this()](bool ok, std::size_t bytes) {
        self->reading_ = false;
        self->on_read(ok, bytes);
      });
}

void Session::on_read(bool ok, std::size_t bytes) {
  if (state_ == State::kLeft) {
    return;
  }
  if (!ok) {
    // Also while an answer is under way: who closes does not read it. (An answer that is whole
    // needs no read meanwhile.)
    leave();
    return;
  }
  if (state_ == State::kReading) {
    unread_.append(buffer_, bytes);
    if (!std::exchange(request_begun_, true)) {
      set_deadline(host_.limits().header_timeout);
    }
    parse();
    return;
  }
  // Behind the request of an endless answer, or after the last one: of no use to anybody.
  discarded_ += bytes;
  if (discarded_ > kDiscardBytesMax) {
    leave();
    return;
  }
  read();
}

void Session::parse() {
  switch (reader_.feed(unread_)) {
    case RequestReader::State::kNeedMore:
      request_begun_ = request_begun_ && (!unread_.empty() || reader_.in_request());
      read();
      return;
    case RequestReader::State::kRefused:
      close_ = true;
      answer(problem(reader_.refused_status(), reader_.refused_reason()));
      return;
    case RequestReader::State::kComplete:
      handle();
      return;
  }
}

void Session::handle() {
  const Request request = reader_.take();
  state_ = State::kHandling;
  deadline_ = SteadyTime::max();
  head_only_ = request.is_head();
  close_ = !request.keep_alive || draining_;
  chunked_ = request.http11;
  host_.busy(*this);
  auto answering = std::make_shared<Answering>(weak_from_this(), loop_);
  host_.handle(request, [answering](Response response) { answering->send(std::move(response)); });
}

void Session::answer(Response response) {
  if (state_ == State::kReading) {  // there is no request to answer, only an error to tell
    close_ = true;
    head_only_ = false;
    chunked_ = false;
  } else if (state_ != State::kHandling) {
    return;
  }
  const bool streamed = response.stream != nullptr;
  chunked_ = chunked_ && streamed;
  // What has no length and no chunks ends with the connection, as does what has no end.
  close_ = close_ || draining_ || (streamed && (!chunked_ || response.stream->endless()));
  head_ = response_head(response, close_, chunked_ && !head_only_, host_.date());
  host_.answered(response.status);
  text_ = std::move(response.body);
  text_sent_ = 0;
  if (head_only_) {
    text_.clear();
  } else {
    stream_ = std::move(response.stream);
  }
  begin_body();
}

void Session::begin_body() {
  state_ = State::kWriting;
  if (stream_ == nullptr) {
    send_body_text();
    return;
  }
  stream_->on_ready([session = weak_from_this(), loop = loop_] {
    loop->dispatch([session] {
      const auto alive = session.lock();
      if (alive != nullptr && alive->state_ == State::kWaiting) {
        alive->send_more();
      }
    });
  });
  if (stream_->endless()) {
    discarded_ = unread_.size();
    unread_.clear();
    read();  // so that the reader's leaving is seen
  }
  if (draining_) {
    end_stream();
  }
  send_more();
}

void Session::send_body_text() {
  const std::size_t size = std::min(kWriteBytes, text_.size() - text_sent_);
  if (!head_.empty()) {
    parts_.push_back({head_.data(), head_.size()});
  }
  if (size > 0) {
    parts_.push_back({text_.data() + text_sent_, size});
  }
  text_sent_ += size;
  const bool last = text_sent_ == text_.size();
  state_ = State::kWriting;
  set_deadline(host_.limits().write_timeout);
  transport_->write(parts_, [self = shared_from_this(), last](bool ok, std::size_t bytes) {
    self->on_written(ok, bytes, last);
  });
}

void Session::send_more() {
  const BodyStream::State state = stream_->take(pieces_);
  if (state == BodyStream::State::kBroken) {
    leave();
    return;
  }
  const bool last = state == BodyStream::State::kEnd;
  if (pieces_.empty() && !last && head_.empty()) {
    if (state == BodyStream::State::kMore) {
      // Nothing, and more to come: as if something had been sent.
      loop_->post([self = shared_from_this()] {
        if (self->state_ == State::kWriting || self->state_ == State::kWaiting) {
          self->send_more();
        }
      });
      return;
    }
    wait_for_stream();
    return;
  }
  write(last);
}

void Session::wait_for_stream() {
  if (state_ != State::kWaiting) {
    state_ = State::kWaiting;
    set_deadline(host_.limits().heartbeat);
  }
}

// Writes the head, when it is still there, and pieces_: as one chunk, so that an event of many
// readers is framed by each without being copied.
void Session::write(bool last) {
  std::size_t size = 0;
  for (const Piece& piece : pieces_) {
    size += piece->size();
  }
  if (!head_.empty()) {
    parts_.push_back({head_.data(), head_.size()});
  }
  if (size > 0) {
    if (chunked_) {
      const int length = std::snprintf(chunk_head_, sizeof chunk_head_, "%zx\r\n", size);
      parts_.push_back({chunk_head_, static_cast<std::size_t>(length)});
    }
    for (const Piece& piece : pieces_) {
      parts_.push_back({piece->data(), piece->size()});
    }
    if (chunked_) {
      parts_.push_back({"\r\n", 2});
    }
  }
  if (last && chunked_) {
    parts_.push_back({"0\r\n\r\n", 5});
  }
  state_ = State::kWriting;
  set_deadline(host_.limits().write_timeout);
  transport_->write(parts_, [self = shared_from_this(), last](bool ok, std::size_t bytes) {
    self->on_written(ok, bytes, last);
  });
}

void Session::on_written(bool ok, std::size_t bytes, bool last) {
  parts_.clear();
  pieces_.clear();
  if (state_ == State::kLeft) {
    return;
  }
  if (!ok) {
    leave();
    return;
  }
  host_.sent(bytes);
  head_ = std::string();  // its memory too: a reader may stay for days
  if (last) {
    finish_answer();
  } else if (stream_ != nullptr) {
    send_more();
  } else {
    send_body_text();
  }
}

void Session::finish_answer() {
  stream_.reset();
  text_ = std::string();
  if (close_ || draining_) {
    linger();
    return;
  }
  state_ = State::kReading;
  request_begun_ = !unread_.empty();
  set_deadline(request_begun_ ? host_.limits().header_timeout : host_.limits().idle_timeout);
  if (request_begun_) {
    parse();  // the next request of a pipeline
  } else {
    read();
  }
}

// Takes in what the peer still sends, until it closes.
void Session::linger() {
  state_ = State::kLingering;
  set_deadline(kLingerMax);
  transport_->shutdown_send([self = shared_from_this()](bool, std::size_t) {});
  read();
}

}  // namespace feedvault::gateway
