#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/jetstream/api.h"
#include "broker/jetstream/config_json.h"

namespace feedvault::broker::jetstream {

// Private to the wire API: one request, and what its answer becomes.

struct Api::Method {
  std::string_view path;  // tokens in capitals; S is a stream's name, C a consumer's, > the rest
  std::string_view type;  // of the answer, between "io.nats.jetstream.api.v1." and "_response"
  void (Api::*run)(Call&);
  bool changes = false;  // streams and consumers: one at a time of each stream
};

/// A request that is kept.
struct Api::Asked {
  std::string path;
  std::string subject;
  std::string reply;
  std::string payload;
  Sender from;

  static Asked copy_of(std::string_view path, const Arrival& arrival) {
    return {std::string(path),
            std::string(arrival.subject),
            std::string(arrival.reply),
            std::string(arrival.payload),
            arrival.from};
  }
  Arrival arrival() const { return {subject, reply, {}, payload, from}; }
  std::size_t bytes() const {
    return sizeof(*this) + path.size() + subject.size() + reply.size() + payload.size();
  }
};

struct Api::Call {
  std::string_view path;
  std::string_view stream;    // named in the subject, "" where it has none
  std::string_view consumer;  // likewise
  std::string_view rest;      // of the subject, where it goes on
  const Arrival& arrival;
  const Method* method = nullptr;
  Json json = Json::object();  // the answer
  bool silent = false;         // is not answered with `json`
  bool failed = false;

  bool empty_payload() const;
  void refuse(const streams::ApiError& error);
  /// {"total", "offset", "limit"} at the front of a page.
  void put_page(std::uint64_t total, std::uint64_t offset, std::uint64_t limit);
  /// At most `limit` of all, from `offset` on, which the answer says.
  template <typename T>
  std::vector<T*> page_of(const std::vector<T*>& all, std::int64_t offset, std::size_t limit) {
    const std::size_t begin =
        std::min(all.size(), static_cast<std::size_t>(std::max<std::int64_t>(offset, 0)));
    const std::size_t end = std::min(all.size(), begin + limit);
    put_page(all.size(), begin, limit);
    return {all.begin() + static_cast<std::ptrdiff_t>(begin),
            all.begin() + static_cast<std::ptrdiff_t>(end)};
  }
};

/// Offset and filter of a list; false when it is no JSON.
struct PageRequest {
  std::int64_t offset = 0;
  std::string subject;
};
bool read_page(std::string_view payload, PageRequest& request);

/// One whose answer comes when something is on disk.
struct Api::Late {
  /// Takes the call's answer along.
  explicit Late(Call& call)
      : asked(Asked::copy_of(call.path, call.arrival)),
        stream(call.stream),
        consumer(call.consumer),
        json(std::move(call.json)),
        changes(call.method->changes) {}

  Asked asked;
  std::string stream;
  std::string consumer;
  Json json;
  bool changes;
};

Json stream_state_json(const streams::Stream& stream);
/// config, created, state.
void put_stream(Json& json, const streams::Stream& stream);

}  // namespace feedvault::broker::jetstream
