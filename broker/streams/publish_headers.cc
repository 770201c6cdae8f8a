#include "broker/streams/publish_headers.h"

#include <charconv>

namespace feedvault::broker::streams {
namespace {

constexpr std::string_view kPrefix = "Nats-";
constexpr std::string_view kLineEnd = "\r\n";

std::uint64_t sequence_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return text.empty() || error != std::errc() || end != text.data() + text.size()
             ? ~std::uint64_t{0}
             : number;
}

void take_line(std::string_view line, PublishHeaders& headers) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) {
    return;
  }
  const std::string_view name = line.substr(kPrefix.size(), colon - kPrefix.size());
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) {
    value.remove_prefix(1);
  }
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) {
    value.remove_suffix(1);
  }
  const auto take = [value](std::string_view& text) { text = text.empty() ? value : text; };
  const auto take_seq = [value](std::optional<std::uint64_t>& seq) {
    if (!seq.has_value() && !value.empty()) {
      seq = sequence_of(value);
    }
  };
  if (name == "Msg-Id") {
    take(headers.message_id);
  } else if (name == "Expected-Stream") {
    take(headers.expected_stream);
  } else if (name == "Expected-Last-Msg-Id") {
    take(headers.expected_last_id);
  } else if (name == "Expected-Last-Sequence") {
    take_seq(headers.expected_last_seq);
  } else if (name == "Expected-Last-Subject-Sequence") {
    take_seq(headers.expected_last_subject_seq);
  } else if (name == "Rollup") {
    take(headers.rollup);
  }
}

}  // namespace

PublishHeaders read_publish_headers(std::string_view block) {
  PublishHeaders headers;
  std::size_t at = block.find(kLineEnd);  // behind the version
  while (at != std::string_view::npos) {
    const std::size_t begin = at + kLineEnd.size();
    const std::size_t end = block.find(kLineEnd, begin);
    if (end == std::string_view::npos || end == begin) {
      break;
    }
    const std::string_view line = block.substr(begin, end - begin);
    if (line.starts_with(kPrefix)) {
      take_line(line, headers);
    }
    at = end;
  }
  return headers;
}

}  // namespace feedvault::broker::streams
