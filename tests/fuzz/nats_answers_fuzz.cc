// What the client reads out of a broker's messages by hand, for speed, against slow and obvious
// readers. The first byte of an input chooses: 'a' a reply subject, 'h' a header block, anything
// else a publish acknowledgement (its own first byte included).

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "client/nats/ack_subject.h"
#include "client/nats/header_block.h"
#include "client/nats/jetstream.h"

using feedvault::nats::AckSubject;
using feedvault::nats::find_header;
using feedvault::nats::parse_ack_subject;
using feedvault::nats::parse_pub_ack;
using feedvault::nats::read_status_line;

namespace {

void check_ack_subject(const std::string& subject) {
  AckSubject ack;
  if (!parse_ack_subject(subject, ack)) {
    return;
  }
  std::vector<std::string> tokens;
  std::istringstream in(subject);
  for (std::string token; std::getline(in, token, '.');) {
    tokens.push_back(token);
  }
  CHECK(tokens.size() == 9 || tokens.size() == 11 || tokens.size() == 12);
  const std::size_t at = tokens.size() == 9 ? 4 : 6;
  CHECK(tokens[0] == "$JS" && tokens[1] == "ACK");
  CHECK(std::stoull(tokens[at]) == ack.deliveries);
  CHECK(std::stoull(tokens[at + 1]) == ack.stream_seq);
  CHECK(std::stoull(tokens[at + 2]) == ack.consumer_seq);
  CHECK(std::stoll(tokens[at + 3]) == ack.time_ns);
  CHECK(std::stoull(tokens[at + 4]) == ack.pending);
}

void check_header_block(const std::string& block) {
  // Names to ask for: whatever stands before a colon in the block.
  std::size_t line_start = 0;
  bool first_line = true;
  std::vector<std::pair<std::string, std::string>> headers;
  for (;;) {
    const std::size_t end = block.find("\r\n", line_start);
    const std::string line =
        block.substr(line_start, end == std::string::npos ? std::string::npos : end - line_start);
    const std::size_t colon = line.find(':');
    if (!first_line && colon != std::string::npos) {
      std::string value = line.substr(colon + 1);
      while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) {
        value.erase(0, 1);
      }
      while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) {
        value.pop_back();
      }
      headers.emplace_back(line.substr(0, colon), value);
    }
    if (end == std::string::npos) {
      break;
    }
    first_line = false;
    line_start = end + 2;
  }
  for (std::size_t i = 0; i < headers.size() && i < 16; ++i) {
    std::size_t first = 0;
    while (headers[first].first != headers[i].first) {
      ++first;
    }
    CHECK(find_header(block, headers[i].first) == headers[first].second);
  }
  const auto status = read_status_line(block);
  CHECK(status.status.find(' ') == std::string_view::npos);
  CHECK(status.status.empty() || block.starts_with("NATS/1.0"));
}

void check_pub_ack(const std::string& text) {
  const auto ack = parse_pub_ack(text);
  if (!ack) {
    return;
  }
  const auto json = nlohmann::json::parse(text, nullptr, false);
  CHECK(json.is_object());
  if (ack->error_code != 0) {
    CHECK(json.contains("error"));
    return;
  }
  CHECK(json.at("seq").get<std::uint64_t>() == ack->seq);
  CHECK(json.at("stream").get<std::string>() == ack->stream);
  CHECK(json.value("duplicate", false) == ack->duplicate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 8192) {
    return 0;
  }
  const std::string text(data, data + size);
  switch (text[0]) {
    case 'a':
      check_ack_subject(text.substr(1));
      break;
    case 'h':
      check_header_block(text.substr(1));
      break;
    default:
      check_pub_ack(text);
  }
  return 0;
}
