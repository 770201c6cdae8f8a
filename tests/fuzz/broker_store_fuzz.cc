// The store's bytes. The first byte chooses what the rest is:
//   'i'  the index of a segment: an error, or it encodes to the same bytes
//   'r'  the header of a record: the same
//   's'  a state file: whatever it holds, it can be written to and then holds that
//   'e'  edits of a log's files, 5 bytes each (file, offset, exclusive or): what is read after them
//        is what was written, and new messages get new numbers

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/check.h"
#include "broker/store/check_store.h"
#include "broker/store/crc32c.h"
#include "broker/store/format.h"
#include "broker/store/message_log.h"
#include "broker/store/state_file.h"
#include "tests/support/power_loss_file_system.h"

namespace {

using namespace feedvault::broker::store;  // NOLINT(google-build-using-namespace): one file
using feedvault::Clock;
using feedvault::testing::PowerLossFileSystem;

constexpr std::uint32_t kSeed = 12345;

void index(std::string_view bytes) {
  const Trailer trailer{800, bytes.size(), crc32c(kSeed, bytes)};
  const auto footer = parse_footer(bytes, trailer, kSeed);
  if (!footer.has_value()) {
    return;
  }
  const std::string again = encode_footer(*footer, trailer.footer_offset, kSeed);
  CHECK(again.size() == bytes.size() + kTrailerBytes);
  CHECK(again.substr(0, bytes.size()) == bytes);
  const auto same = parse_trailer(std::string_view(again).substr(bytes.size()), kSeed);
  CHECK(same.has_value() && same->footer_crc == trailer.footer_crc);
}

void record(std::string_view bytes) {
  if (bytes.size() < kRecordHeaderBytes) {
    return;
  }
  std::string in(bytes.substr(0, kRecordHeaderBytes));
  put(in.data(), crc32c(kSeed, std::string_view(in).substr(4)));
  const auto header = parse_record_header(in.data(), kSeed);
  if (!header.has_value()) {
    return;
  }
  std::string out(kRecordHeaderBytes, '\0');
  encode_record_header(out.data(), *header, kSeed);
  CHECK(out == in);
  CHECK(!parse_record_header(in.data(), kSeed + 1).has_value());
}

void state(std::string_view bytes) {
  PowerLossFileSystem fs(1);
  CHECK(fs.make_dir("/s").ok());
  fs.set_contents("/s/c.state", std::string(bytes));
  StateFile::Contents contents;
  {
    auto file = StateFile::open(fs, "/s/c.state", contents);
    CHECK(file.has_value());
    CHECK((*file)->write_snapshot("snapshot", Promise::kSynced).ok());
    CHECK((*file)->write_change("change", Promise::kSynced).ok());
    CHECK((*file)->generation() == contents.generation + 2);
  }
  const auto again = StateFile::load(fs, "/s/c.state");
  CHECK(again.has_value() && again->snapshot == "snapshot");
  CHECK(again->changes.size() == 1 && again->changes[0] == "change");
}

std::string payload_of(StreamSeq seq) {
  return "payload " + std::to_string(seq * 7919) + std::string(seq % 40, 'p');
}

void edits(std::string_view script) {
  PowerLossFileSystem fs(1);
  CHECK(fs.make_dir("/store").ok());
  LogOptions options;
  options.segment_bytes = 900;
  options.reserve_step = 100;
  {
    auto log = MessageLog::open(fs, "/store/s", options, Clock::system());
    CHECK(log.has_value());
    for (StreamSeq seq = 1; seq <= 20; ++seq) {
      const std::string subject = "a." + std::to_string(seq % 3);
      CHECK((*log)->append(subject, "", payload_of(seq), 1).has_value());
    }
    CHECK((*log)->remove(3).ok() && (*log)->sync().ok());
  }
  const auto files = fs.files();
  for (; script.size() >= 5; script.remove_prefix(5)) {
    const std::string& path = files[static_cast<unsigned char>(script[0]) % files.size()];
    std::string bytes = fs.contents(path);
    const auto at = load<std::uint16_t>(script.data() + 1);
    if (script[4] == 't') {
      bytes.resize(at % (bytes.size() + 1));
    } else if (!bytes.empty()) {
      bytes[at % bytes.size()] = static_cast<char>(bytes[at % bytes.size()] ^ script[3]);
    }
    fs.set_contents(path, bytes);
  }
  CHECK(check_store(fs, "/store").has_value());
  auto log = MessageLog::open(fs, "/store/s", options, Clock::system());
  if (!log.has_value()) {
    CHECK(log.error().code() == feedvault::StatusCode::kCorruption);
    return;
  }
  const StreamSeq last = (*log)->last_seq();
  MessageReader reader(**log, 1);
  for (;;) {
    const auto next = reader.next(last);
    CHECK(next.has_value());
    if (!next->has_value()) {
      break;
    }
    CHECK((*next)->seq <= 20 && (*next)->payload == payload_of((*next)->seq));
  }
  const auto seq = (*log)->append("new", "", "", 1);
  CHECK(seq.has_value() && *seq == last + 1);
  CHECK((*log)->close().ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) {
    return 0;
  }
  const std::string_view rest = input.substr(1);
  switch (input[0]) {
    case 'i':
      index(rest);
      break;
    case 'r':
      record(rest);
      break;
    case 's':
      state(rest);
      break;
    case 'e':
      edits(rest.substr(0, 100));
      break;
    default:
      break;
  }
  return 0;
}
