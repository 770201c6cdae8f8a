#include "broker/streams/direct_get.h"

#include <algorithm>
#include <set>

#include "broker/streams/rfc3339.h"

namespace feedvault::broker::streams {
namespace {

/// As in nats-server: of a batch by subjects, more than this is refused.
constexpr std::size_t kMultiLastMax = 1024;
/// A batch's bytes when the request names no bound.
constexpr std::uint64_t kBatchBytesMax = 8U << 20U;

struct BatchPlace {
  std::uint64_t pending = 0;
  StreamSeq last_seq = 0;  // sent before
};

std::string batch_lines(const BatchPlace& place) {
  return "Nats-Num-Pending: " + std::to_string(place.pending) +
         "\r\nNats-Last-Sequence: " + std::to_string(place.last_seq) + "\r\n";
}

/// The stored message with where it is from in front of its empty line. Returns its bytes.
std::uint64_t send_message(const Stream& stream,
                           const store::MessageView& message,
                           std::string_view reply,
                           const BatchPlace* place) {
  std::string headers = message.headers.empty()
                            ? std::string("NATS/1.0\r\n")
                            : std::string(message.headers.substr(0, message.headers.size() - 2));
  headers += "Nats-Stream: " + stream.name() + "\r\nNats-Subject: ";
  headers += message.subject;
  headers += "\r\nNats-Sequence: " + std::to_string(message.seq) +
             "\r\nNats-Time-Stamp: " + format_rfc3339_ns(message.time_ns) + "\r\n";
  if (place != nullptr) {
    headers += batch_lines(*place);
  }
  headers += "\r\n";
  stream.options().output->publish({reply, {}, headers, message.payload});
  return headers.size() + message.payload.size();
}

void send_end(const Stream& stream,
              const BatchPlace& place,
              StreamSeq up_to,
              std::string_view reply) {
  std::string headers = "NATS/1.0 204 EOB\r\n" + batch_lines(place);
  if (up_to != 0) {
    headers += "Nats-UpTo-Sequence: " + std::to_string(up_to) + "\r\n";
  }
  stream.options().output->publish({reply, {}, headers + "\r\n", {}});
}

/// The last message of each matching subject as of `up_to`, in the stream's order.
std::vector<StreamSeq> last_of_each(const Stream& stream,
                                    const std::vector<std::string>& filters,
                                    StreamSeq up_to) {
  std::set<StreamSeq> found;
  for (const store::SubjectCount& subject : stream.log().subjects(store::SubjectFilter(filters))) {
    StreamSeq seq = subject.state.last_seq;
    if (seq > up_to) {
      store::SubjectFilter one(subject.subject);
      seq = stream.log().last_matching(up_to, one);
    }
    if (seq != 0) {
      found.insert(seq);
    }
    if (found.size() > kMultiLastMax) {
      break;
    }
  }
  return {found.begin(), found.end()};
}

bool get_multi_last(const Stream& stream, const DirectGetRequest& request, std::string_view reply) {
  Output& output = *stream.options().output;
  StreamSeq up_to = stream.visible_seq();
  if (request.up_to_seq != 0) {
    up_to = std::min(up_to, request.up_to_seq);
  } else if (request.up_to_time_ns.has_value()) {
    const auto behind = stream.log().seq_at_time(*request.up_to_time_ns);
    up_to = behind.has_value() ? std::min(up_to, *behind - 1) : 0;
  }
  std::vector<StreamSeq> found = last_of_each(stream, request.multi_last, up_to);
  std::erase_if(found, [&request](StreamSeq seq) { return seq < request.seq; });
  if (found.empty()) {
    send_status(output, reply, "404 No Results");
    return false;
  }
  if (found.size() > kMultiLastMax) {
    send_status(output, reply, "413 Too Many Results");
    return false;
  }
  const std::uint64_t bytes_max = request.max_bytes == 0 ? kBatchBytesMax : request.max_bytes;
  const std::size_t most =
      request.batch == 0 ? found.size() : std::min<std::size_t>(found.size(), request.batch);
  BatchPlace place{found.size(), 0};
  std::uint64_t bytes = 0;
  store::ReadBuffer buffer;
  for (std::size_t i = 0; i < most && bytes < bytes_max; ++i) {
    --place.pending;
    const auto message = stream.get(found[i], buffer);
    if (message.has_value()) {
      bytes += send_message(stream, *message, reply, &place);
      place.last_seq = found[i];
    }
  }
  send_end(stream, place, up_to, reply);
  return true;
}

bool get_batch(const Stream& stream,
               const DirectGetRequest& request,
               StreamSeq from,
               std::string_view reply) {
  store::SubjectFilter filter = request.next_by_subject.empty()
                                    ? store::SubjectFilter()
                                    : store::SubjectFilter(request.next_by_subject);
  const std::uint64_t bytes_max = request.max_bytes == 0 ? kBatchBytesMax : request.max_bytes;
  BatchPlace place{stream.count_matching(from, stream.visible_seq(), filter), 0};
  std::uint64_t bytes = 0;
  store::MessageReader reader(stream.log(), from, filter);
  for (std::uint64_t i = 0; i < request.batch && bytes < bytes_max; ++i) {
    const auto next = reader.next(stream.visible_seq());
    if (!next.has_value() || !next->has_value()) {
      break;
    }
    place.pending -= std::min<std::uint64_t>(1, place.pending);
    bytes += send_message(stream, **next, reply, &place);
    place.last_seq = (*next)->seq;
  }
  if (place.last_seq == 0) {
    send_status(*stream.options().output, reply, "404 Message Not Found");
    return false;
  }
  send_end(stream, place, 0, reply);
  return true;
}

/// Does the request make sense? If not, the status to answer.
std::string_view problem_of(const DirectGetRequest& request) {
  const bool last = !request.last_by_subject.empty();
  const bool next = !request.next_by_subject.empty();
  const bool multi = !request.multi_last.empty();
  const bool time = request.start_time_ns.has_value();
  if (request.seq == 0 && !last && !next && !multi && !time) {
    return "408 Empty Request";
  }
  const bool two = (last && (request.seq > 0 || next || multi || request.batch > 0)) ||
                   (multi && next) || (time && request.seq > 0) ||
                   (request.up_to_seq > 0 && request.up_to_time_ns.has_value());
  return two ? "408 Bad Request" : "";
}

}  // namespace

void send_status(Output& output, std::string_view reply, std::string_view status) {
  output.publish({reply, {}, "NATS/1.0 " + std::string(status) + "\r\n\r\n", {}});
}

bool direct_get(const Stream& stream, const DirectGetRequest& request, std::string_view reply) {
  Output& output = *stream.options().output;
  if (const std::string_view problem = problem_of(request); !problem.empty()) {
    send_status(output, reply, problem);
    return false;
  }
  if (!request.multi_last.empty()) {
    return get_multi_last(stream, request, reply);
  }
  StreamSeq from = request.seq;
  if (request.start_time_ns.has_value()) {
    const auto first = stream.log().seq_at_time(*request.start_time_ns);
    from = first.has_value() ? *first : ~StreamSeq{0};
  }
  if (request.batch > 0) {
    return get_batch(stream, request, std::max<StreamSeq>(1, from), reply);
  }
  store::ReadBuffer buffer;
  auto message = !request.last_by_subject.empty()
                     ? stream.last_by_subject(request.last_by_subject, buffer)
                 : !request.next_by_subject.empty() || request.start_time_ns.has_value()
                     ? stream.next_by_subject(from, request.next_by_subject, buffer)
                     : stream.get(from, buffer);
  if (!message.has_value()) {
    send_status(output, reply, "404 Message Not Found");
    return false;
  }
  send_message(stream, *message, reply, nullptr);
  return true;
}

}  // namespace feedvault::broker::streams
