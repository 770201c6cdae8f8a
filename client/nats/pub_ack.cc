#include <charconv>

#include <nlohmann/json.hpp>

#include "client/nats/jetstream.h"

namespace feedvault::nats {
namespace {

constexpr int kWrongLastSequence = 10071;
constexpr int kNoResponders = -1;

/// Reads the answers that matter for speed, `{"stream":"S", "seq":N}` and the same with
/// `,"duplicate": true` or `,"domain":"D"`, in any order and spacing, without a JSON tree.
/// Everything else (escapes, nested values, unknown fields, errors) is left to the slow reader.
class FastReader {
 public:
  explicit FastReader(std::string_view text) : rest_(text) {}

  bool read(PubAck& ack) {
    if (!take('{')) {
      return false;
    }
    bool has_seq = false;
    bool has_stream = false;
    do {
      std::string_view key;
      if (!take_string(key) || !take(':')) {
        return false;
      }
      std::string_view text;
      if (key == "stream" && take_string(text)) {
        ack.stream.assign(text);
        has_stream = true;
      } else if (key == "seq" && take_number(ack.seq)) {
        has_seq = true;
      } else if (key == "duplicate" && take_bool(ack.duplicate)) {
      } else if (key != "domain" || !take_string(text)) {
        return false;
      }
    } while (take(','));
    if (!take('}')) {
      return false;
    }
    skip_space();
    return has_stream && has_seq && rest_.empty();
  }

 private:
  void skip_space() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n' ||
                              rest_.front() == '\r' || rest_.front() == '\t')) {
      rest_.remove_prefix(1);
    }
  }

  bool take(char c) {
    skip_space();
    if (rest_.empty() || rest_.front() != c) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }

  bool take_string(std::string_view& text) {
    if (!take('"')) {
      return false;
    }
    const std::size_t end = rest_.find('"');
    if (end == std::string_view::npos) {
      return false;
    }
    text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '\\' || byte < 0x20 || byte >= 0x7F) {
        return false;  // escapes and UTF-8 are the slow reader's business
      }
    }
    return true;
  }

  bool take_number(std::uint64_t& number) {
    skip_space();
    const char* end = rest_.data() + rest_.size();
    const auto [after, error] = std::from_chars(rest_.data(), end, number);
    if (error != std::errc() || (*rest_.data() == '0' && after != rest_.data() + 1)) {
      return false;
    }
    rest_.remove_prefix(static_cast<std::size_t>(after - rest_.data()));
    return true;
  }

  bool take_bool(bool& value) {
    skip_space();
    value = rest_.starts_with("true");
    if (!value && !rest_.starts_with("false")) {
      return false;
    }
    rest_.remove_prefix(value ? 4 : 5);
    return true;
  }

  std::string_view rest_;
};

std::optional<std::uint64_t> number_at_end(std::string_view text) {
  const std::size_t start = text.find_last_not_of("0123456789");
  std::string_view digits = start == std::string_view::npos ? text : text.substr(start + 1);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || error != std::errc()) {
    return std::nullopt;
  }
  return number;
}

Result<PubAck> read_slowly(std::string_view text) {
  using nlohmann::json;
  try {
    const json in = json::parse(text);
    PubAck ack;
    ack.stream = in.value("stream", std::string());
    if (const auto error = in.find("error"); error != in.end()) {
      ack.error_code = error->value("err_code", 0);
      if (ack.error_code == 0) {
        ack.error_code = error->at("code").get<int>();
      }
      ack.error_text = error->value("description", std::string("no reason given"));
      if (ack.error_code == 0) {
        return protocol_error("an error answer without a code");
      }
      if (ack.error_code == kWrongLastSequence) {
        ack.actual_last_seq = number_at_end(ack.error_text);
      }
      return ack;
    }
    const json& seq = in.at("seq");
    if (!seq.is_number_unsigned()) {
      return protocol_error("a publish acknowledgement without a sequence");
    }
    ack.seq = seq.get<std::uint64_t>();
    ack.duplicate = in.value("duplicate", false);
    if (ack.stream.empty()) {
      return protocol_error("a publish acknowledgement without a stream");
    }
    return ack;
  } catch (const json::exception& e) {
    return protocol_error(std::string("not a publish acknowledgement: ") + e.what());
  }
}

}  // namespace

Result<PubAck> parse_pub_ack(std::string_view payload) {
  PubAck ack;
  if (FastReader(payload).read(ack)) {
    return ack;
  }
  return read_slowly(payload);
}

Result<PubAck> parse_pub_ack(const Message& message) {
  const std::string_view payload = message.payload();
  if (payload.empty() && message.status() == "503") {
    PubAck ack;
    ack.error_code = kNoResponders;
    ack.error_text = "no stream captures the subject, or JetStream is off";
    return ack;
  }
  return parse_pub_ack(payload);
}

}  // namespace feedvault::nats
