#include "client/feed_decoder.h"

#include <limits>

#include "proto/event.pb.h"
#include "proto/execution.pb.h"

namespace feedvault {
namespace {

class SchemaFeedDecoder final : public FeedDecoder {
 public:
  explicit SchemaFeedDecoder(const MessageSchema& schema) : decoder_(schema.new_decoder()) {}

  const google::protobuf::Message* decode(std::string_view data) override {
    const auto message = decoder_->decode(data);
    return message ? *message : nullptr;
  }

 private:
  std::unique_ptr<MessageSchema::Decoder> decoder_;
};

template <typename MessageType>
class TypedFeedDecoder final : public FeedDecoder {
 public:
  // What is in a feed stream was checked before it was catalogued; this is only about a stranger's
  // publish, so required fields are enough.
  const google::protobuf::Message* decode(std::string_view data) override {
    if (data.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
        !message_.ParsePartialFromArray(data.data(), static_cast<int>(data.size())) ||
        !message_.IsInitialized()) {
      return nullptr;
    }
    return &message_;
  }

 private:
  MessageType message_;
};

}  // namespace

std::unique_ptr<FeedDecoder> make_feed_decoder(std::string_view feed, const MessageSchema* schema) {
  if (schema != nullptr) {
    return std::make_unique<SchemaFeedDecoder>(*schema);
  }
  if (feed == "events") {
    return std::make_unique<TypedFeedDecoder<event>>();
  }
  if (feed == "executions") {
    return std::make_unique<TypedFeedDecoder<execution>>();
  }
  return nullptr;
}

}  // namespace feedvault
