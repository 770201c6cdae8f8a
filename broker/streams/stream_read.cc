// What can be asked of a stream: only what is visible.

#include <algorithm>

#include "broker/streams/stream_impl.h"

namespace feedvault::broker::streams {

ApiResult<store::MessageView> Stream::Impl::get(StreamSeq seq, store::ReadBuffer& buffer) const {
  if (seq == 0 || seq > visible_) {
    return make_error(errors::kMessageNotFound);
  }
  auto message = log_->read(seq, buffer);
  if (!message.has_value()) {
    return message.error().code() == StatusCode::kIo
               ? make_error(errors::kStoreFailed, "the message cannot be read now")
               : make_error(errors::kMessageNotFound);
  }
  return *message;
}

ApiResult<store::MessageView> Stream::Impl::last_by_subject(std::string_view filter,
                                                            store::ReadBuffer& buffer) const {
  store::SubjectFilter wanted{std::string(filter)};
  // A damaged message is found only when it is read: then the one before it counts.
  for (StreamSeq seq = log_->last_matching(visible_, wanted); seq != 0;
       seq = log_->last_matching(seq - 1, wanted)) {
    auto message = get(seq, buffer);
    if (message.has_value() || message.error().err_code != errors::kMessageNotFound.err_code) {
      return message;
    }
  }
  return make_error(errors::kMessageNotFound);
}

ApiResult<store::MessageView> Stream::Impl::next_by_subject(StreamSeq from,
                                                            std::string_view filter,
                                                            store::ReadBuffer& buffer) const {
  store::SubjectFilter wanted =
      filter.empty() ? store::SubjectFilter() : store::SubjectFilter(std::string(filter));
  for (StreamSeq seq = log_->next_matching(from, wanted); seq != 0 && seq <= visible_;
       seq = log_->next_matching(seq + 1, wanted)) {
    auto message = get(seq, buffer);
    if (message.has_value() || message.error().err_code != errors::kMessageNotFound.err_code) {
      return message;
    }
  }
  return make_error(errors::kMessageNotFound);
}

StreamState Stream::Impl::state() const {
  const store::LogState log = log_->state();
  StreamState state;
  state.messages = log.messages;
  state.bytes = bytes_in(log);
  if (log.last_seq > visible_) {
    store::SubjectFilter all;
    const std::uint64_t hidden = log_->count_matching(visible_ + 1, all);
    const std::uint64_t hidden_bytes = appended_.bytes - visible_mark_.bytes;
    state.messages -= std::min(hidden, state.messages);
    state.bytes = state.messages == 0 ? 0 : state.bytes - std::min(hidden_bytes, state.bytes);
  }
  state.last_seq = visible_;
  state.first_seq = state.messages == 0 ? visible_ + 1 : log.first_seq;
  state.first_time_ns = state.messages == 0 ? 0 : log.first_time_ns;
  state.last_time_ns = visible_mark_.time_ns;
  state.num_deleted =
      state.messages == 0 ? 0 : state.last_seq - state.first_seq + 1 - state.messages;
  state.num_subjects = log.subjects;
  state.consumers = consumers_ == nullptr ? 0 : consumers_->count();
  if (visible_ == 0) {
    state.first_seq = 0;  // as nats-server says of a stream that never had a message
  }
  return state;
}

std::vector<store::SubjectCount> Stream::Impl::subjects(std::string_view filter) const {
  store::SubjectFilter wanted =
      filter.empty() ? store::SubjectFilter() : store::SubjectFilter(std::string(filter));
  auto counts = log_->subjects(wanted);
  std::ranges::sort(counts, {}, &store::SubjectCount::subject);
  return counts;
}

std::uint64_t Stream::Impl::count_matching(StreamSeq from,
                                           StreamSeq to,
                                           store::SubjectFilter& filter) const {
  if (from > to) {
    return 0;
  }
  const std::uint64_t all = log_->count_matching(from, filter);
  return to == log_->last_seq() ? all : all - log_->count_matching(to + 1, filter);
}

}  // namespace feedvault::broker::streams
