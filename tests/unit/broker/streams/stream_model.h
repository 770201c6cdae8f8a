#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/subject.h"
#include "broker/store/message.h"
#include "broker/streams/pub_ack.h"
#include "broker/streams/stream.h"
#include "tests/unit/broker/streams/stream_fixture.h"

namespace feedvault::broker::streams {

/// A stream as one would write it without a disk, a commit or a thought of speed: what Stream must
/// be indistinguishable from.
class StreamModel {
 public:
  struct Message {
    std::string subject;
    std::string headers;
    std::string payload;
    std::int64_t time_ns = 0;
    friend bool operator==(const Message&, const Message&) = default;
  };
  struct Asks {
    std::string id;
    std::optional<std::uint64_t> last_seq;
    std::optional<std::uint64_t> last_subject_seq;
    std::string rollup;
  };
  struct Answer {
    StreamSeq covers = 0;
    std::string text;
  };

  explicit StreamModel(StreamConfig with) : config(std::move(with)) {}

  Stream::Outcome store(const Message& message, const Asks& asks, bool reply, bool wanted) {
    if (!asks.id.empty()) {
      std::erase_if(ids, [&](const auto& id) {
        return id.second.second < message.time_ns - config.duplicate_window_ns;
      });
      if (const auto known = ids.find(asks.id); known != ids.end()) {
        say(reply,
            known->second.first,
            R"({"stream":"ORD", "seq":)" + std::to_string(known->second.first) +
                R"(,"duplicate": true})");
        return Stream::Outcome::kDuplicate;
      }
    }
    if (asks.last_subject_seq.has_value() && last_of(message.subject) != *asks.last_subject_seq) {
      return refuse(reply,
                    last_of(message.subject),
                    make_error(errors::kWrongLastSequence, last_of(message.subject)));
    }
    if (asks.last_seq.has_value() && last != *asks.last_seq) {
      return refuse(reply, last, make_error(errors::kWrongLastSequence, last));
    }
    if (!asks.rollup.empty() && (!config.allow_rollup_hdrs || config.deny_purge)) {
      return refuse(reply, 0, make_error(errors::kRollupFailed, "rollup not permitted"));
    }
    if (const char* const problem = lack_of_room(message); problem != nullptr) {
      const bool may_pass = config.max_age_ns > 0 || config.retention != Retention::kLimits;
      return !reply && may_pass ? Stream::Outcome::kHold
                                : refuse(reply, 0, make_error(errors::kStoreFailed, problem));
    }
    ++last;
    if (!asks.id.empty()) {
      ids[asks.id] = {last, message.time_ns};
    }
    say(reply, last, R"({"stream":"ORD", "seq":)" + std::to_string(last) + "}");
    if (!wanted) {
      return Stream::Outcome::kUnwanted;
    }
    messages[last] = message;
    stored[last] = message;
    if (asks.rollup == "all") {
      messages.erase(messages.begin(), messages.find(last));
    } else if (asks.rollup == "sub") {
      std::erase_if(messages, [&](const auto& one) {
        return one.first != last && one.second.subject == message.subject;
      });
    }
    enforce();
    return Stream::Outcome::kStored;
  }

  void enforce() {
    if (config.max_msgs_per_subject > 0) {
      std::map<std::string, std::uint64_t> seen;
      for (auto one = messages.end(); one != messages.begin();) {
        --one;
        if (++seen[one->second.subject] > limit(config.max_msgs_per_subject)) {
          one = messages.erase(one);
        }
      }
    }
    while (!messages.empty() &&
           ((config.max_msgs > 0 && messages.size() > limit(config.max_msgs)) ||
            (config.max_bytes > 0 && bytes() > limit(config.max_bytes)))) {
      messages.erase(messages.begin());
    }
  }

  void expire(std::int64_t now_ns) {
    if (config.max_age_ns > 0) {
      std::erase_if(messages, [&](const auto& one) {
        return one.second.time_ns <= now_ns - config.max_age_ns;
      });
    }
  }

  std::uint64_t purge(const PurgeRequest& request) {
    std::vector<StreamSeq> found;
    for (const auto& [seq, message] : messages) {
      if ((request.filter.empty() || subject_matches(request.filter, message.subject)) &&
          (request.below == 0 || seq < request.below)) {
        found.push_back(seq);
      }
    }
    found.resize(found.size() - std::min<std::size_t>(found.size(), request.keep));
    for (const StreamSeq seq : found) {
      messages.erase(seq);
    }
    if (request.filter.empty() && request.below > last + 1) {
      last = request.below - 1;
    }
    return found.size();
  }

  StreamSeq last_of(const std::string& subject) const {
    StreamSeq found = 0;
    for (const auto& [seq, message] : messages) {
      found = message.subject == subject ? seq : found;
    }
    return found;
  }
  std::uint64_t bytes() const { return bytes_up_to(last); }
  std::uint64_t bytes_up_to(StreamSeq visible) const {
    std::uint64_t sum = 0;
    for (const auto& [seq, message] : messages) {
      sum += seq <= visible ? size_of(message) : 0;
    }
    return sum;
  }
  std::uint64_t size_of(const Message& message) const {
    return config.storage == StorageType::kMemory
               ? 16 + message.subject.size() + message.headers.size() + message.payload.size()
               : store::accounted_bytes(
                     message.subject.size(), message.headers.size(), message.payload.size());
  }

  StreamConfig config;
  std::map<StreamSeq, Message> messages;
  std::map<StreamSeq, Message> stored;  // ever
  std::map<std::string, std::pair<StreamSeq, std::int64_t>> ids;
  StreamSeq last = 0;
  std::deque<Answer> answers;  // that are still to come

 private:
  static std::uint64_t limit(std::int64_t value) { return static_cast<std::uint64_t>(value); }

  const char* lack_of_room(const Message& message) const {
    if (config.discard != Discard::kNew) {
      return nullptr;
    }
    std::vector<const Message*> same;
    for (const auto& [seq, one] : messages) {
      if (one.subject == message.subject) {
        same.push_back(&one);
      }
    }
    const bool replaces =
        config.max_msgs_per_subject > 0 && same.size() >= limit(config.max_msgs_per_subject);
    if (replaces && config.discard_new_per_subject) {
      return "maximum messages per subject exceeded";
    }
    if (config.max_msgs > 0 && !replaces && messages.size() >= limit(config.max_msgs)) {
      return "maximum messages exceeded";
    }
    if (config.max_bytes > 0 &&
        bytes() + message.headers.size() + message.payload.size() >= limit(config.max_bytes) &&
        (!replaces || store::accounted_bytes(same[0]->subject.size(),
                                             same[0]->headers.size(),
                                             same[0]->payload.size()) <= size_of(message))) {
      return "maximum bytes exceeded";
    }
    return nullptr;
  }

  Stream::Outcome refuse(bool reply, StreamSeq covers, const ApiError& error) {
    say(reply, covers, PubAckWriter("ORD", "").refuse(error));
    return Stream::Outcome::kRefused;
  }
  void say(bool reply, StreamSeq covers, std::string text) {
    if (reply) {
      answers.push_back({covers, std::move(text)});
    }
  }
};

}  // namespace feedvault::broker::streams
