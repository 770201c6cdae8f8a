// What publishers write into headers, transforms of subjects, and stored configurations. The first
// byte says which. Claims: headers are what a naive reader finds; a transform makes valid subjects
// of valid ones; a configuration that is read is written again the same.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/subject.h"
#include "broker/streams/consumer_config.h"
#include "broker/streams/publish_headers.h"
#include "broker/streams/stream_config.h"
#include "broker/streams/subject_transform.h"

using namespace feedvault::broker::streams;  // NOLINT(google-build-using-namespace)

namespace {

/// The first value of a header, by searching for it in the text.
std::string naive_value(std::string_view block, const std::string& name) {
  const std::string wanted = "\r\n" + name + ":";
  const std::size_t end = block.find("\r\n\r\n");
  std::string_view all = end == std::string_view::npos ? block : block.substr(0, end + 2);
  for (std::size_t at = all.find(wanted); at != std::string_view::npos;
       at = all.find(wanted, at + 1)) {
    const std::size_t begin = at + wanted.size();
    const std::size_t stop = all.find("\r\n", begin);
    if (stop == std::string_view::npos) {
      return {};
    }
    std::string value(all.substr(begin, stop - begin));
    value.erase(0, value.find_first_not_of(" \t"));
    value.erase(value.find_last_not_of(" \t") + 1);
    if (!value.empty()) {
      return value;
    }
  }
  return {};
}

void check_headers(std::string_view block) {
  const PublishHeaders headers = read_publish_headers(block);
  // A naive search knows no first line; blocks that begin otherwise are not compared.
  if (block.starts_with("NATS/1.0\r\n")) {
    CHECK(headers.message_id == naive_value(block, "Nats-Msg-Id"));
    CHECK(headers.expected_stream == naive_value(block, "Nats-Expected-Stream"));
    CHECK(headers.expected_last_id == naive_value(block, "Nats-Expected-Last-Msg-Id"));
    CHECK(headers.rollup == naive_value(block, "Nats-Rollup"));
    CHECK(headers.expected_last_seq.has_value() ==
          !naive_value(block, "Nats-Expected-Last-Sequence").empty());
  }
}

void check_transform(std::string_view lines) {
  const auto line = [&lines] {
    const std::size_t end = lines.find('\n');
    const std::string_view first = lines.substr(0, end);
    lines = end == std::string_view::npos ? std::string_view() : lines.substr(end + 1);
    return std::string(first);
  };
  SubjectTransformConfig config;
  config.source = line();
  config.destination = line();
  const auto transform = SubjectTransform::compile(config);
  if (!transform.has_value()) {
    return;
  }
  while (!lines.empty()) {
    const std::string subject = line();
    if (!feedvault::subject_problem(subject).empty() || feedvault::has_wildcard(subject)) {
      continue;
    }
    std::string out;
    const bool matches =
        feedvault::subject_matches(config.source.empty() ? ">" : config.source, subject);
    const bool applied = transform->apply(subject, out);
    CHECK(matches || !applied);
    CHECK(!applied || feedvault::subject_problem(out).empty());
  }
}

template <typename Decode, typename Encode>
void check_stored(std::string_view bytes, Decode decode, Encode encode) {
  const auto config = decode(bytes);
  if (config.has_value()) {
    const auto again = decode(encode(*config));
    CHECK(again.has_value());
    CHECK(*again == *config);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      check_headers(rest);
      break;
    case 1:
      check_transform(rest);
      break;
    case 2:
      check_stored(rest, decode_stream_config, encode_stream_config);
      break;
    default:
      check_stored(rest, decode_consumer_config, encode_consumer_config);
      break;
  }
  return 0;
}
