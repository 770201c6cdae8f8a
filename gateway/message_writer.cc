#include "gateway/message_writer.h"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "gateway/http/problem.h"

namespace feedvault::gateway {
namespace {

constexpr std::int64_t kUsPerSecond = 1'000'000;

void append_number(std::string& out, std::uint64_t number) {
  char text[20];
  out.append(text, std::to_chars(text, text + sizeof text, number).ptr);
}

// A line's end between two tokens of a body would end the line, or the event, that it stands in.
void append_on_one_line(std::string& out, std::string_view json) {
  const std::size_t begin = out.size();
  out.append(json);
  // Bodies of ours have none: two fast searches are all that it costs them.
  if (json.find('\n') != std::string_view::npos || json.find('\r') != std::string_view::npos) {
    std::replace_if(
        out.begin() + static_cast<std::ptrdiff_t>(begin),
        out.end(),
        [](char c) { return c == '\r' || c == '\n'; },
        ' ');
  }
}

}  // namespace

MessageWriter::MessageWriter(const Feed& feed)
    : feed_(feed), decoder_(feed.schema->new_decoder()) {}

Result<std::string_view> MessageWriter::body_of(const MessageView& message) {
  if (!message.body.empty()) {
    return message.body;
  }
  body_.clear();
  RETURN_IF_ERROR(decoder_->to_json(message.data, body_));
  return std::string_view(body_);
}

// Messages of one second follow each other: only the part behind the point is new.
void MessageWriter::append_time(std::int64_t unix_us, std::string& out) {
  const std::int64_t second = unix_us / kUsPerSecond;
  if (unix_us < 0) {
    out.append(format_rfc3339_us(unix_us));
    return;
  }
  if (second != second_) {
    second_ = second;
    second_text_ = format_rfc3339_us(second * kUsPerSecond).substr(0, 20);
  }
  char digits[7] = {'0', '0', '0', '0', '0', '0', 'Z'};
  std::int64_t us = unix_us % kUsPerSecond;
  for (std::size_t i = 6; i-- > 0; us /= 10) {
    digits[i] = static_cast<char>('0' + us % 10);
  }
  out.append(second_text_).append(digits, sizeof digits);
}

void MessageWriter::append_json(const MessageView& message, std::string& out) {
  out.append("{\"seq\":");
  append_number(out, message.seq);
  out.append(",\"id\":");
  append_json_string(out, message.id);
  out.append(",\"timestamp\":\"");
  append_time(message.timestamp_us, out);
  out.append("\",\"body\":");
  if (const auto body = body_of(message); body.has_value()) {
    append_on_one_line(out, *body);
  } else {
    out.append("null,\"error\":");
    append_json_string(out, body.error().message());
  }
  out.push_back('}');
}

void MessageWriter::append_event(const MessageView& message, std::string& out) {
  out.append("id: ").append(feed_.name()).push_back(':');
  append_number(out, message.seq);
  out.append("\ndata: ");
  append_json(message, out);
  out.append("\n\n");
}

void MessageWriter::append_gap_event(std::uint64_t first,
                                     std::uint64_t last,
                                     std::string& out) const {
  out.append("id: ").append(feed_.name()).push_back(':');
  append_number(out, last);
  out.append("\nevent: gap\ndata: {\"first\":");
  append_number(out, first);
  out.append(",\"last\":");
  append_number(out, last);
  out.append("}\n\n");
}

void append_csv_field(std::string& out, std::string_view text) {
  if (text.find_first_of("\",\r\n") == std::string_view::npos) {
    out.append(text);
    return;
  }
  out.push_back('"');
  for (const char c : text) {
    out.append(c == '"' ? 2U : 1U, c);
  }
  out.push_back('"');
}

void MessageWriter::append_csv_header(std::string& out) const {
  out.append("seq,id,timestamp");
  for (const MessageSchema::Field& field : feed_.schema->fields()) {
    out.push_back(',');
    append_csv_field(out, field.name);
  }
  out.append("\r\n");
}

void MessageWriter::append_csv(const MessageView& message, std::string& out) {
  append_number(out, message.seq);
  out.push_back(',');
  append_csv_field(out, message.id);
  out.push_back(',');
  append_time(message.timestamp_us, out);
  const auto body = body_of(message);
  const nlohmann::json values = body.has_value()
                                    ? nlohmann::json::parse(*body, nullptr, /*exceptions=*/false)
                                    : nlohmann::json();
  for (const MessageSchema::Field& field : feed_.schema->fields()) {
    out.push_back(',');
    if (!values.is_object()) {
      continue;
    }
    const auto value = values.find(field.json_name);
    if (value == values.end()) {
      continue;
    }
    append_csv_field(out,
                     value->is_string()
                         ? value->get<std::string>()
                         : value->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  out.append("\r\n");
}

}  // namespace feedvault::gateway
