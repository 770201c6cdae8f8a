// Any bytes as a message: check(), decode() and to_json() agree, and what passes is JSON.

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "proto/message_schema.h"

namespace feedvault {
namespace {

/// The schemas that an input's first byte chooses from. Loaded once.
class Schemas {
 public:
  Schemas() {
    const std::string folder = FEEDVAULT_SOURCE_DIR;
    add(folder + "/proto/event.proto", "event");
    add(folder + "/proto/execution.proto", "execution");
    add(folder + "/tests/fuzz/every_kind.proto", "every_kind");
    add(folder + "/tests/fuzz/every_kind.proto", "with_well_known");
  }

  MessageSchema::Decoder& decoder(std::uint8_t choice) { return *decoders_[choice % kCount]; }

 private:
  static constexpr std::size_t kCount = 4;

  void add(const std::string& file, const std::string& type) {
    auto schema = MessageSchema::load(file, type);
    CHECK(schema.has_value());
    schemas_[size_] = std::move(*schema);
    decoders_[size_] = schemas_[size_]->new_decoder();
    ++size_;
  }

  std::size_t size_ = 0;
  std::unique_ptr<MessageSchema> schemas_[kCount];
  std::unique_ptr<MessageSchema::Decoder> decoders_[kCount];
};

void run(std::uint8_t choice, std::string_view bytes) {
  static Schemas schemas;
  MessageSchema::Decoder& decoder = schemas.decoder(choice);
  const Status checked = decoder.check(bytes);
  CHECK(decoder.decode(bytes).status() == checked);
  std::string json = "before";
  const Status printed = decoder.to_json(bytes, json);
  if (!checked.ok()) {
    CHECK(checked.code() == StatusCode::kCorruption && !checked.message().empty());
    CHECK(printed == checked && json == "before");
    return;
  }
  CHECK(!bytes.empty());
  if (printed.ok()) {
    // Ours, or protobuf's for well-known types; those may have no JSON form (a Timestamp out of
    // range), which is an error and leaves the text alone.
    CHECK(nlohmann::json::accept(json.substr(6)));
  } else {
    CHECK(json == "before");
  }
}

}  // namespace
}  // namespace feedvault

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0) {
    feedvault::run(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  }
  return 0;
}
