#include "client/nats/jetstream.h"

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "client/nats/header_block.h"

namespace feedvault::nats {
namespace {

using nlohmann::json;

constexpr int kStreamNameInUse = 10058;
constexpr int kNoMessageFound = 10037;

Status api_error(const json& error, const std::string& subject) {
  const int code = error.value("code", 0);
  const int err_code = error.value("err_code", 0);
  const std::string text = subject + ": " + error.value("description", std::string("no reason")) +
                           " (" + std::to_string(err_code) + ")";
  if (code == 404 || err_code == kNoMessageFound) {
    return not_found(text);
  }
  if (code == 503) {
    return unavailable(text);
  }
  if (code == 400 || err_code == kStreamNameInUse) {
    return invalid_argument(text);
  }
  return internal_error(text);
}

std::string zero_to_empty(std::string_view time) {
  return time.starts_with("0001-01-01") ? std::string() : std::string(time);
}

Result<std::int64_t> time_of(const json& object, const char* key) {
  const std::string text = zero_to_empty(object.value(key, std::string()));
  if (text.empty()) {
    return std::int64_t{0};
  }
  return parse_rfc3339_ns(text);
}

json to_json(const StreamConfig& config) {
  json out = {
      {"name", config.name},
      {"subjects", config.subjects},
      {"retention", "limits"},
      {"storage", "file"},
      {"discard", config.discard_new ? "new" : "old"},
      {"max_age", config.max_age_ns},
      {"max_bytes", config.max_bytes},
      {"max_msgs", config.max_msgs},
      {"max_msgs_per_subject", config.max_msgs_per_subject},
      {"num_replicas", config.replicas},
      {"deny_delete", config.deny_delete},
      {"deny_purge", config.deny_purge},
      {"allow_direct", config.allow_direct},
  };
  if (!config.description.empty()) {
    out["description"] = config.description;
  }
  if (config.duplicate_window_ns != 0) {
    out["duplicate_window"] = config.duplicate_window_ns;
  }
  if (config.first_seq > 1) {
    out["first_seq"] = config.first_seq;  // servers before 2.10 do not know the field
  }
  return out;
}

StreamConfig config_of(const json& in) {
  StreamConfig config;
  config.name = in.value("name", std::string());
  config.description = in.value("description", std::string());
  if (const auto subjects = in.find("subjects"); subjects != in.end() && subjects->is_array()) {
    config.subjects = subjects->get<std::vector<std::string>>();
  }
  config.max_age_ns = in.value("max_age", std::int64_t{0});
  config.max_bytes = in.value("max_bytes", std::int64_t{-1});
  config.max_msgs = in.value("max_msgs", std::int64_t{-1});
  config.max_msgs_per_subject = in.value("max_msgs_per_subject", std::int64_t{-1});
  config.replicas = in.value("num_replicas", 1U);
  config.duplicate_window_ns = in.value("duplicate_window", std::int64_t{0});
  config.deny_delete = in.value("deny_delete", false);
  config.deny_purge = in.value("deny_purge", false);
  config.allow_direct = in.value("allow_direct", false);
  config.first_seq = in.value("first_seq", std::uint64_t{0});
  config.discard_new = in.value("discard", std::string()) == "new";
  return config;
}

Result<StreamInfo> info_of(const json& in) {
  StreamInfo info;
  info.config = config_of(in.at("config"));
  ASSIGN_OR_RETURN(info.created_ns, time_of(in, "created"));
  const json& state = in.at("state");
  info.messages = state.at("messages").get<std::uint64_t>();
  info.bytes = state.at("bytes").get<std::uint64_t>();
  info.first_seq = state.at("first_seq").get<std::uint64_t>();
  info.last_seq = state.at("last_seq").get<std::uint64_t>();
  ASSIGN_OR_RETURN(info.last_time_ns, time_of(state, "last_ts"));
  if (info.messages == 0) {
    // A new stream says first_seq 0, one with first_seq N set says N and last_seq N - 1, a purged
    // one last_seq + 1: the same answer for all of them.
    info.first_seq = info.last_seq + 1;
  }
  return info;
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') {
    return c - 'A';
  }
  if (c >= 'a' && c <= 'z') {
    return c - 'a' + 26;
  }
  if (c >= '0' && c <= '9') {
    return c - '0' + 52;
  }
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

Result<std::string> decode_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') {
    text.remove_suffix(1);
  }
  std::string out;
  out.reserve(text.size() * 3 / 4);
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) {
      return protocol_error("bad base64 in the broker's answer");
    }
    bits = (bits << 6U) | static_cast<unsigned>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> static_cast<unsigned>(count)) & 0xFFU));
    }
  }
  return out;
}

/// Runs `use` on the parsed answer; nothing that nlohmann throws leaves this file.
template <typename Use>
auto with_json(const std::string& text, const std::string& subject, Use use)
    -> decltype(use(std::declval<const json&>())) {
  try {
    const json parsed = json::parse(text);
    if (const auto error = parsed.find("error"); error != parsed.end()) {
      return api_error(*error, subject);
    }
    return use(parsed);
  } catch (const json::exception& e) {
    return protocol_error(subject + ": cannot read the broker's answer: " + e.what());
  }
}

}  // namespace

std::optional<std::string> StoredMessage::header(std::string_view name) const {
  const auto value = find_header(headers, name);
  return value ? std::optional<std::string>(*value) : std::nullopt;
}

Result<std::string> JetStream::call(const std::string& subject, const std::string& request) {
  auto answer = connection_.request(
      {.subject = subject, .reply = {}, .headers = {}, .payload = request}, timeout_);
  if (!answer) {
    if (answer.error().code() == StatusCode::kNotFound) {
      return unavailable(subject + ": nobody answers; is JetStream enabled on the broker?");
    }
    return answer.error();
  }
  return std::string(answer->payload());
}

Result<StreamInfo> JetStream::stream_info(const std::string& name) {
  const std::string subject = "$JS.API.STREAM.INFO." + name;
  ASSIGN_OR_RETURN(const std::string text, call(subject, ""));
  return with_json(text, subject, [](const json& in) { return info_of(in); });
}

Result<StreamInfo> JetStream::create_stream(const StreamConfig& config) {
  const std::string subject = "$JS.API.STREAM.CREATE." + config.name;
  ASSIGN_OR_RETURN(const std::string text, call(subject, to_json(config).dump()));
  return with_json(text, subject, [](const json& in) { return info_of(in); });
}

Result<StreamInfo> JetStream::update_stream(const StreamConfig& config) {
  // An update replaces the whole configuration: what others decided (placement, compression,
  // metadata
  // ...) must be sent back as it is.
  const std::string info_subject = "$JS.API.STREAM.INFO." + config.name;
  ASSIGN_OR_RETURN(const std::string info, call(info_subject, ""));
  ASSIGN_OR_RETURN(const std::string request,
                   with_json(info, info_subject, [&](const json& in) -> Result<std::string> {
                     json whole = in.at("config");
                     whole.update(to_json(config));
                     return whole.dump();
                   }));
  const std::string subject = "$JS.API.STREAM.UPDATE." + config.name;
  ASSIGN_OR_RETURN(const std::string text, call(subject, request));
  return with_json(text, subject, [](const json& in) { return info_of(in); });
}

Status JetStream::delete_stream(const std::string& name) {
  const std::string subject = "$JS.API.STREAM.DELETE." + name;
  ASSIGN_OR_RETURN(const std::string text, call(subject, ""));
  return with_json(text, subject, [](const json&) { return Status(); });
}

Status JetStream::purge_below(const std::string& name, std::uint64_t seq) {
  if (seq == 0) {
    return {};  // the API reads 0 as "everything"
  }
  const std::string subject = "$JS.API.STREAM.PURGE." + name;
  ASSIGN_OR_RETURN(const std::string text, call(subject, json({{"seq", seq}}).dump()));
  return with_json(text, subject, [](const json&) { return Status(); });
}

Result<StoredMessage> JetStream::get_message(const std::string& name, std::uint64_t seq) {
  const std::string subject = "$JS.API.STREAM.MSG.GET." + name;
  ASSIGN_OR_RETURN(const std::string text, call(subject, json({{"seq", seq}}).dump()));
  return with_json(text, subject, [](const json& in) -> Result<StoredMessage> {
    const json& message = in.at("message");
    StoredMessage stored;
    stored.seq = message.at("seq").get<std::uint64_t>();
    stored.subject = message.at("subject").get<std::string>();
    ASSIGN_OR_RETURN(stored.time_ns, time_of(message, "time"));
    ASSIGN_OR_RETURN(stored.headers, decode_base64(message.value("hdrs", std::string())));
    ASSIGN_OR_RETURN(stored.payload, decode_base64(message.value("data", std::string())));
    return stored;
  });
}

Result<std::uint64_t> JetStream::seq_at_time(const std::string& name, std::int64_t time_ns) {
  return seq_at_time(name, time_ns, [](const StoredMessage& message) { return message.time_ns; });
}

Result<std::uint64_t> JetStream::seq_at_time(const std::string& name,
                                             std::int64_t time_ns,
                                             const TimeOf& time_of) {
  // Times grow with the sequence, so the first at or after the time is found by halving.
  // Deleted messages leave holes: those are stepped over to the right.
  ASSIGN_OR_RETURN(const StreamInfo info, stream_info(name));
  std::uint64_t low = info.first_seq;      // everything before `low` is older
  std::uint64_t high = info.last_seq + 1;  // `high` and what follows is not
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    std::uint64_t probe = middle;
    auto message = get_message(name, probe);
    while (!message && message.error().code() == StatusCode::kNotFound && probe + 1 < high) {
      message = get_message(name, ++probe);
    }
    if (!message && message.error().code() != StatusCode::kNotFound) {
      return message.error();
    }
    if (message && time_of(*message) < time_ns) {
      low = probe + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Result<std::uint64_t> JetStream::publish(const Outgoing& message) {
  ASSIGN_OR_RETURN(const Message answer, connection_.request(message, timeout_));
  ASSIGN_OR_RETURN(const PubAck ack, parse_pub_ack(answer));
  if (ack.error_code != 0) {
    return invalid_argument("publish to " + std::string(message.subject) + ": " + ack.error_text +
                            " (" + std::to_string(ack.error_code) + ")");
  }
  return ack.seq;
}

}  // namespace feedvault::nats
